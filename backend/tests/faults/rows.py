"""All rows, in the order of the report."""

from tests.faults import beat_rows, database_rows, enqueue_rows, redis_rows, start_rows, storm_rows, worker_rows  # noqa: F401
from tests.faults.trial import ROWS as _REGISTERED
from tests.faults.trial import Row


def _order(name: str) -> tuple[bool, int, str]:
    return (not name[1:].isdigit(), int(name[1:]) if name[1:].isdigit() else 0, name)


ROWS: dict[str, Row] = {name: _REGISTERED[name] for name in sorted(_REGISTERED, key=_order)}
