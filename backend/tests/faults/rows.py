"""All rows, in the order of the report."""

from importlib import import_module

from tests.faults.trial import ROWS as _REGISTERED
from tests.faults.trial import Row

for _part in (
    "beat",
    "database",
    "edge",
    "enqueue",
    "lifecycle",
    "outage",
    "recovery",
    "redis",
    "start",
    "storm",
    "worker",
):
    import_module(f"tests.faults.{_part}_rows")


def _order(name: str) -> tuple[bool, int, str]:
    return (not name[1:].isdigit(), int(name[1:]) if name[1:].isdigit() else 0, name)


ROWS: dict[str, Row] = {name: _REGISTERED[name] for name in sorted(_REGISTERED, key=_order)}
