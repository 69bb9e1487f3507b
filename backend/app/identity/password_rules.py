"""Which passwords are accepted: long ones, and none of the first that an attacker tries (NIST SP 800-63B-4 3.1.1.2).

There is no rule about kinds of characters. A password is compared with the list as it stands, without the digits and
punctuation at its end, and as the piece that it repeats: `Password2024!` and `passwordpassword` are both `password`.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

from app.kit.errors import InvalidInput, invalid

PRODUCT_WORDS = ("task management api", "task management", "taskapi")
_LIST = Path(__file__).with_name("common_passwords.txt")
"""The 10,000 passwords found most often in published leaks, those of 12 characters and more among the first 100,000,
and runs over the alphabet and the keyboard; folded, one a line."""
_LONGEST_TRIVIAL_PIECE = 3


@cache
def _common() -> frozenset[str]:
    return frozenset(_LIST.read_text(encoding="utf-8").splitlines())


def require_acceptable(password: str, *, email: str, min_length: int, pointer: str = "/password") -> None:
    """Raises InvalidInput with the reason, at `pointer`. `password` is in NFC; its length counts code points."""
    if len(password) < min_length:
        raise invalid(pointer, "password_too_short", f"A password takes at least {min_length} characters")
    folded = _fold(password)
    forms = {form for trimmed in (folded, _trim(folded)) for form in (trimmed, _piece(trimmed), _trim(_piece(trimmed)))}
    if forms & _common():
        raise _refused(pointer, "password_common", "This password is among the first that an attacker tries")
    if len(_piece(folded)) <= _LONGEST_TRIVIAL_PIECE:
        raise _refused(pointer, "password_repetitive", "This password repeats a few characters")
    if {_letters(form) for form in forms} & _own_words(email):
        raise _refused(pointer, "password_guessable", "This password is your address or the name of the product")


def _refused(pointer: str, code: str, message: str) -> InvalidInput:
    return invalid(pointer, code, f"{message}: choose another one")


def _own_words(email: str) -> set[str]:
    address = _fold(email)
    words = (address, *address.split("@"), *PRODUCT_WORDS)
    return {_letters(word) for word in words} - {""}


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _letters(text: str) -> str:
    return "".join(character for character in text if character.isalnum())


def _trim(text: str) -> str:
    """Without the digits, spaces and punctuation at the end; the text itself where nothing else is in it."""
    end = next((place for place in range(len(text), 0, -1) if text[place - 1].isalpha()), len(text))
    return text[:end]


def _piece(text: str) -> str:
    """The shortest piece whose repetition gives the text; what separates two of them may be missing at the end."""
    period = next((n for n in range(1, (len(text) + 1) // 2 + 1) if text[n:] == text[:-n]), len(text))
    return text[:period]
