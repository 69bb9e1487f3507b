"""Words of other languages in date phrases, as the English words that `phrases` understands.

Codes are those of Todoist's DATE_LANG column. Phrases of several words stand with an underscore for each space; an empty
translation drops the word. Months and weekdays are listed from January and Monday.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_MONTHS = (
    "january february march april may june july august september october november december".split()  # noqa: SIM905
)


class _Language(NamedTuple):
    words: str
    weekdays: str
    months: str


_LANGUAGES = {
    "de": _Language(
        "heute=today morgen=tomorrow übermorgen=day_after_tomorrow gestern=yesterday jeden=every jede=every jedes=every "
        "alle=every tag=day tage=day tagen=day woche=week wochen=week monat=month monate=month monaten=month jahr=year jahre=year "
        "jahren=year quartal=quarter stunde=hour stunden=hour werktag=workday werktage=workday ersten=1st erster=1st zweiten=2nd "
        "dritten=3rd vierten=4th letzten=last letzter=last täglich=daily wöchentlich=weekly monatlich=monthly jährlich=yearly "
        "um=at uhr= und=and ab=starting bis=until am=on den=on einem=1 einer=1",
        "montag dienstag mittwoch donnerstag freitag samstag sonntag",
        "januar|jan februar|feb märz|mär|mrz april|apr mai juni|jun juli|jul august|aug september|sep oktober|okt november|nov "
        "dezember|dez",
    ),
    "es": _Language(
        "hoy=today mañana=tomorrow pasado_mañana=day_after_tomorrow ayer=yesterday cada=every todos_los=every todas_las=every "
        "día=day días=day dia=day dias=day semana=week semanas=week mes=month meses=month año=year años=year trimestre=quarter "
        "hora=hour horas=hour primer=1st último=last diariamente=daily a_las=at a_la=at y=and en=in dentro_de=in de= "
        "desde=starting hasta=until el=on un=1 una=1",
        "lunes martes miércoles|miercoles jueves viernes sábado|sabado domingo",
        "enero|ene febrero|feb marzo|mar abril|abr mayo|may junio|jun julio|jul agosto|ago septiembre|sept|sep octubre|oct "
        "noviembre|nov diciembre|dic",
    ),
    "fr": _Language(
        "aujourd'hui=today aujourdhui=today demain=tomorrow après-demain=day_after_tomorrow hier=yesterday tous_les=every "
        "toutes_les=every chaque=every jour=day jours=day semaine=week semaines=week mois=month an=year ans=year année=year "
        "années=year trimestre=quarter heure=hour heures=hour premier=1st 1er=1st dernier=last quotidien=daily à=at et=and "
        "dans=in dès=starting jusqu'au=until le=on un=1 une=1",
        "lundi mardi mercredi jeudi vendredi samedi dimanche",
        "janvier|janv février|févr|fév mars avril|avr mai juin juillet|juil août septembre|sept octobre|oct novembre|nov "
        "décembre|déc",
    ),
    "it": _Language(
        "oggi=today domani=tomorrow dopodomani=day_after_tomorrow ieri=yesterday ogni=every tutti_i=every giorno=day giorni=day "
        "settimana=week settimane=week mese=month mesi=month anno=year anni=year trimestre=quarter ora=hour ore=hour primo=1st "
        "ultimo=last alle=at e=and tra=in fra=in dal=starting fino_al=until il=on un=1 una=1",
        "lunedì|lunedi martedì|martedi mercoledì|mercoledi giovedì|giovedi venerdì|venerdi sabato domenica",
        "gennaio|gen febbraio|feb marzo|mar aprile|apr maggio|mag giugno|giu luglio|lug agosto|ago settembre|set ottobre|ott "
        "novembre|nov dicembre|dic",
    ),
    "nl": _Language(
        "vandaag=today morgen=tomorrow overmorgen=day_after_tomorrow gisteren=yesterday elke=every iedere=every ieder=every "
        "dag=day dagen=day week=week weken=week maand=month maanden=month jaar=year jaren=year kwartaal=quarter uur=hour "
        "werkdag=workday eerste=1st tweede=2nd derde=3rd laatste=last dagelijks=daily om=at en=and over=in vanaf=starting "
        "tot=until "
        "op=on een=1",
        "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
        "januari|jan februari|feb maart|mrt april|apr mei juni|jun juli|jul augustus|aug september|sep oktober|okt november|nov "
        "december|dec",
    ),
    "pt": _Language(
        "hoje=today amanhã=tomorrow depois_de_amanhã=day_after_tomorrow ontem=yesterday todo=every toda=every todos_os=every "
        "todas_as=every cada=every dia=day dias=day semana=week semanas=week mês=month meses=month ano=year anos=year "
        "trimestre=quarter hora=hour horas=hour primeiro=1st primeira=1st último=last última=last diariamente=daily às=at e=and "
        "em=in daqui_a=in de= desde=starting até=until um=1 uma=1",
        "segunda-feira|segunda terça-feira|terça quarta-feira|quarta quinta-feira|quinta sexta-feira|sexta sábado domingo",
        "janeiro|jan fevereiro|fev março|mar abril|abr maio|mai junho|jun julho|jul agosto|ago setembro|set outubro|out "
        "novembro|nov dezembro|dez",
    ),
}


def _dictionary(language: _Language) -> dict[str, str]:
    words = dict(pair.split("=") for pair in language.words.split())
    for names, english in ((language.weekdays, _WEEKDAYS), (language.months, _MONTHS)):
        for own, word in zip(names.split(), english, strict=True):
            words |= dict.fromkeys(own.split("|"), word)
    return {own.replace("_", " "): word.replace("_", " ") for own, word in words.items()}


_WORDS = {code: _dictionary(language) for code, language in _LANGUAGES.items()}
_FINDERS = {
    code: re.compile(
        r"(?<![\w'-])(?:" + "|".join(map(re.escape, sorted(words, key=len, reverse=True))) + r")(?![\w'-])"
    )
    for code, words in _WORDS.items()
}


def in_english(phrase: str, language: str) -> str:
    """The lower-case `phrase` word by word in English; unchanged where the language is English or not known here."""
    code = language[:2].lower()
    if code not in _WORDS:
        return phrase
    words = _WORDS[code]
    return _FINDERS[code].sub(lambda found: words[found[0]], phrase)
