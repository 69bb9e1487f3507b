"""What people and jobs did to tasks, projects and the rest, as counters: read from the record, so that bulk changes,
imports and every process are in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter
from sqlalchemy import text

from app.infra.statements import Statement

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from app.worker.line import Fetch

_LONGEST_TRANSACTION = 60.0
"""Seconds: a change that commits later after it was written is not counted. It keeps the look at an index's end."""

# What the present snapshot sees and the last one did not, as in the feed (docs/adr/0004): no commit is counted twice.
_SINCE = Statement(
    text("""
    SELECT CAST(pg_current_snapshot() AS text) AS seen, CAST(extract(epoch FROM now()) AS float8) AS now, new.*
    FROM (VALUES (1)) AS one LEFT JOIN (
        SELECT resource, action, count(*) AS changes FROM changes
        WHERE created_at > to_timestamp(CAST(:since AS float8)) - make_interval(secs => :longest)
            AND NOT pg_visible_in_snapshot(xact, CAST(CAST(:seen AS text) AS pg_snapshot))
        GROUP BY resource, action
    ) AS new ON true
""")
)


class ChangeFigures:
    """A counter in `registry`. It begins at zero with the process, and counts what all processes do."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seen: str | None = None
        self._since: float | None = None
        self._changes = Counter(
            "taskapi_changes",
            "Changes that all processes recorded since this one began to count.",
            ("resource", "action"),
            registry=registry,
        )

    async def read(self, fetch: Fetch) -> None:
        rows = await fetch(_SINCE, {"seen": self._seen, "since": self._since, "longest": _LONGEST_TRANSACTION})
        self._seen, self._since = rows[0]["seen"], rows[0]["now"]
        for row in rows:
            if row["resource"] is not None:
                self._changes.labels(row["resource"], row["action"]).inc(row["changes"])

    def clear(self) -> None:
        """A counter stays: what was counted is true whatever is read next."""
