"""Writes `docs/reference/*.md`, the settings in `.env.example` and the dashboards: `python -m tools.reference`.

A test compares these files with what this module makes of the code.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import re
import secrets
import sys
from collections import defaultdict
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from prometheus_client import Info
from pydantic import SecretStr

import app
from app.core.app_factory import create_app
from app.infra.settings import Settings
from app.kit.errors import AppError
from app.schedules.builtin import BACKUPS, BUILT_IN, BuiltIn
from app.worker.kinds import KINDS
from app.worker.metrics import BeatMetrics, WorkerMetrics
from tools import dashboards, prometheus_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from prometheus_client import CollectorRegistry
    from pydantic.fields import FieldInfo

    from app.worker.kinds import JobArgs

BACKEND = Path(__file__).resolve().parents[1]
ROOT = BACKEND.parent
REFERENCE = ROOT / "docs" / "reference"
ENV_EXAMPLE = ROOT / ".env.example"
ENV_MARK = "# ==== Settings of the application, with their defaults (`./run docs` writes them from the code)"
"""In `.env.example`: what stands below is generated."""

_NOTE = "<!-- Written by `./run docs` from the code; a test compares. -->"


def import_everything() -> None:
    """Every module of the product, so that all subclasses and all kinds are known."""
    for module in pkgutil.walk_packages(app.__path__, "app."):
        # These two do something when they are imported.
        if module.name not in {"app.main", "app.cli.__main__"}:
            importlib.import_module(module.name)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def settings_groups() -> dict[str, list[tuple[str, FieldInfo]]]:
    """The fields of Settings under the comment that heads their group in the source."""
    groups: dict[str, list[tuple[str, FieldInfo]]] = {}
    for line in inspect.getsource(Settings).splitlines():
        if heading := re.fullmatch(r"    # (.+)", line):
            groups[heading[1]] = []
        elif (found := re.match(r"    (\w+):", line)) and found[1] in Settings.model_fields:
            list(groups.values())[-1].append((found[1], Settings.model_fields[found[1]]))
    return groups


def _default(info: FieldInfo) -> str:
    value = info.get_default()
    if info.default_factory is not None or value is None or isinstance(value, SecretStr):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


_BOUNDS = {Ge: ("at least", "ge"), Gt: ("above", "gt"), Le: ("at most", "le"), Lt: ("below", "lt")}


def _values(info: FieldInfo) -> str:
    if get_origin(info.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(info.annotation))
    if info.annotation is bool:
        return "`true`, `false`"
    if "SecretStr" in str(info.annotation):
        return "secret"
    known = [(rule, *_BOUNDS[type(rule)]) for rule in info.metadata if type(rule) in _BOUNDS]
    return ", ".join(f"{word} {getattr(rule, attribute)}" for rule, word, attribute in known)


def _setting_row(name: str, info: FieldInfo) -> tuple[str, str, str, str]:
    default = _default(info)
    return f"`{name.upper()}`", f"`{default}`" if default else "", _values(info), info.description or ""


def settings_page() -> str:
    groups = "".join(
        f"\n## {heading}\n\n"
        + _table(("Setting", "Default", "Values", "What it is"), [_setting_row(*field) for field in fields])
        for heading, fields in settings_groups().items()
    )
    return f"""# Settings

{_NOTE}

Each is an environment variable; `.env` in the working directory is read too, and the environment wins. `DATABASE_URL`,
`REDIS_URL` and `SECRET_KEY` are enough, with `ALLOWED_HOSTS` where `ENVIRONMENT` is `production`: there, unsafe values
refuse to start.
{groups}"""


def env_settings() -> str:
    """The generated part of `.env.example`: everything commented out, so that a copy of it changes nothing."""
    parts = [ENV_MARK, "\n"]
    for heading, fields in settings_groups().items():
        parts.append(f"\n# -- {heading}\n")
        parts += [f"# {info.description}\n#{name.upper()}={_default(info)}\n" for name, info in fields]
    return "".join(parts)


def all_errors() -> list[type[AppError]]:
    """Every error class that has a code of its own, by status and code."""
    import_everything()
    found, waiting = [AppError], [AppError]
    while waiting:
        for derived in waiting.pop().__subclasses__():
            waiting.append(derived)
            if "code" in vars(derived) and derived.__module__.startswith("app."):
                found.append(derived)
    return sorted(found, key=lambda error: (error.status, error.code))


_CODE_AT = {"FieldProblem": 1, "invalid": 1, "PydanticCustomError": 0}
"""Which argument of these calls is the code of a field."""


def field_codes() -> dict[str, set[str]]:
    """The codes of single fields that our own code names, each with the rooms that do."""
    codes: dict[str, set[str]] = defaultdict(set)
    for path in (BACKEND / "app").rglob("*.py"):
        room = path.relative_to(BACKEND / "app").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            code = _code_in(node)
            if code is not None:
                codes[code].add(room)
    return codes


def _code_in(node: ast.AST) -> str | None:
    match node:
        case ast.Call(func=ast.Name(id=name), args=arguments) if len(arguments) > _CODE_AT.get(name, len(arguments)):
            argument = arguments[_CODE_AT[name]]
            return argument.value if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else None
    return None


def errors_page() -> str:
    rooms: dict[tuple[int, str, str], set[str]] = defaultdict(set)
    for error in all_errors():
        rooms[error.status, error.code, error.title].add(error.__module__.split(".")[1])
    errors = [(str(status), f"`{code}`", title, _listed(raised)) for (status, code, title), raised in rooms.items()]
    fields = [(f"`{code}`", _listed(raised)) for code, raised in sorted(field_codes().items())]
    return f"""# Errors

{_NOTE}

Every error is `application/problem+json` (RFC 9457). `code` is stable: branch on it. `detail` says what happened this
time and is for people.

{_table(("Status", "Code", "Title", "Room"), errors)}
## Codes of single fields

In `errors[].code` of a 422. Besides these, the types of pydantic's own validation stand there (`missing`,
`string_too_long`, `extra_forbidden` and so on).

{_table(("Code", "Room"), fields)}"""


def all_kinds() -> list[type[JobArgs]]:
    import_everything()
    return [KINDS[name] for name in sorted(KINDS) if KINDS[name].__module__.startswith("app.")]


def _kind_section(kind: type[JobArgs]) -> str:
    schedules = [f"{_when(one)} (`{one.name}`)" for one in (*BUILT_IN, *BACKUPS) if one.kind == kind.kind]
    facts = [
        ("Queue", f"`{kind.queue}`"),
        ("Priority", f"{kind.priority} (0 first, 9 last)"),
        ("Attempts", str(kind.max_attempts)),
        ("Timeout", f"{kind.timeout:g} s"),
        ("Kept", _span(kind.retention)),
        ("Version of the args", str(kind.version)),
        *(("Schedule", schedule) for schedule in schedules),
        *([("Schedules", "people may make schedules of it")] if kind.schedulable else []),
    ]
    section = f"\n## `{kind.kind}`\n\n{inspect.getdoc(kind)}\n\n{_table(('', ''), facts)}"
    if not kind.model_fields:
        return section
    args = [(f"`{name}`", _type_of(info), info.description or "") for name, info in kind.model_fields.items()]
    return f"{section}\n{_table(('Arg', 'Type', 'What it is'), args)}"


def _when(schedule: BuiltIn) -> str:
    if schedule.interval_seconds is not None:
        return f"every {schedule.interval_seconds} s"
    return f"`{schedule.cron}` in {schedule.time_zone}"


def _span(time: timedelta) -> str:
    return f"{time.days} days" if time.days else f"{time.seconds // 3600} h"


def _type_of(info: FieldInfo) -> str:
    return f"`{_written(info.annotation)}`"


def _written(annotation: Any) -> str:
    """A type in its plain words, without what bounds it."""
    inner = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _written(inner[0])
    if get_origin(annotation) in {Union, UnionType}:
        return " | ".join(map(_written, inner))
    if get_origin(annotation) is list:
        return f"list[{_written(inner[0])}]"
    name = annotation.__name__ if inspect.isclass(annotation) and not inner else str(annotation)
    return "None" if annotation is NoneType else re.sub(r"(?:[a-z_]+[.])+", "", name)


def job_kinds_page() -> str:
    return f"""# Kinds of job

{_NOTE}

At-least-once delivery, exclusive attempts, one effect per key. An attempt that takes longer than its timeout is asked
to stop and counts as failed. A finished job is kept for the time that its kind says.
{"".join(map(_kind_section, all_kinds()))}"""


def _registries() -> dict[str, CollectorRegistry]:
    """What each kind of process registers, by its title in the page."""
    settings = Settings(_env_file=None, secret_key=SecretStr(secrets.token_hex(32)))
    application = create_app(settings)
    application.build_middleware_stack()
    return {
        "Api: `GET /metrics`": application.state.metrics.registry,
        "Worker: `METRICS_PORT`": WorkerMetrics(os.getpid(), settings).registry,
        "Beat: `METRICS_PORT`": BeatMetrics(settings).registry,
    }


def _metrics_table(registry: CollectorRegistry) -> str:
    rows = []
    for collector in registry._collector_to_names:  # noqa: SLF001  no public list
        if not hasattr(collector, "describe"):
            continue
        # What an info tells are labels too.
        told = collector._value if isinstance(collector, Info) else getattr(collector, "_labelnames", ())  # noqa: SLF001
        labels = _listed(told)
        for family in collector.describe():
            name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
            rows.append((f"`{name}`", family.type, labels, family.documentation))
    return _table(("Metric", "Type", "Labels", "What it is"), sorted(rows))


def metrics_page() -> str:
    sections = (f"\n## {title}\n\n{_metrics_table(registry)}" for title, registry in _registries().items())
    return f"""# Metrics

{_NOTE}

The OpenMetrics text format. The api asks for `SCRAPE_TOKEN` or a superuser's token; workers and beats answer on a port
of their own, which belongs on a private network. A worker's figures are those of all its pool processes. A histogram
also has `_bucket`, `_sum` and `_count`. On Linux there are prometheus_client's `process_*` besides.
{"".join(sections)}"""


def pages() -> dict[Path, str]:
    """Each generated file with what belongs in it."""
    written_by_hand = ENV_EXAMPLE.read_text().partition(ENV_MARK)[0]
    return {
        REFERENCE / "settings.md": settings_page(),
        REFERENCE / "errors.md": errors_page(),
        REFERENCE / "job-kinds.md": job_kinds_page(),
        REFERENCE / "metrics.md": metrics_page(),
        ENV_EXAMPLE: written_by_hand + env_settings(),
        **dashboards.files(),
        prometheus_rules.MANIFEST: prometheus_rules.manifest(),
    }


def main() -> None:
    for path, text in pages().items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
