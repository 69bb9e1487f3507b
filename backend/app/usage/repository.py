"""All SQL of usage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Date, Uuid, bindparam, select, text

from app.kit.keyset import Key
from app.models import UsageStatement
from app.web.listing import Listing

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

_u = UsageStatement.__table__.c
STATEMENTS = Listing(
    "usage",
    select(
        *(_u[name] for name in ("workspace_id", "month", "tasks", "members", "file_bytes", "jobs", "closed_at"))
    ).where(_u.workspace_id == bindparam("workspace_id", type_=Uuid())),
    [Key("month", _u.month, _u.month, Date()), Key("id", _u.id, _u.id, Uuid())],
    "-month",
)

# A job's time is that of its insertion and it is seen at its commit: what is younger than five minutes waits for the next
# count. So a month is counted to its end in the next one, where only jobs are added to it: the rest is of the moment.
_COUNT = text("""
    WITH moment AS (
        SELECT CAST(:now AS timestamptz) AS now, date_trunc('month', CAST(:now AS timestamptz) AT TIME ZONE 'UTC') AS month
    ), months AS (
        SELECT CAST(starts AS date) AS month, starts AT TIME ZONE 'UTC' AS starts, starts = moment.month AS present,
            least((starts + interval '1 month') AT TIME ZONE 'UTC', now - interval '5 minutes') AS until
        FROM moment, LATERAL (
            SELECT moment.month UNION SELECT CAST(month AS timestamp) FROM usage_statements WHERE closed_at IS NULL
        ) AS wanted(starts)
    ), due AS (
        SELECT w.id AS workspace_id, m.month, m.present, m.until, greatest(s.counted_until, m.starts) AS since
        FROM workspaces w CROSS JOIN months m
            LEFT JOIN usage_statements s ON s.workspace_id = w.id AND s.month = m.month
        WHERE m.until > greatest(s.counted_until, m.starts) AND (m.present OR s.id IS NOT NULL)
    ), enqueued AS (
        SELECT due.workspace_id, due.month, count(*) AS jobs FROM due JOIN jobs j ON j.workspace_id = due.workspace_id
            AND j.created_at >= due.since AND j.created_at < due.until GROUP BY 1, 2
    )
    INSERT INTO usage_statements AS old (id, workspace_id, month, tasks, members, file_bytes, jobs, counted_until)
    SELECT gen_random_uuid(), due.workspace_id, due.month, coalesce(t.tasks, 0), coalesce(m.members, 0),
        coalesce(f.bytes, 0), coalesce(e.jobs, 0), due.until
    FROM due LEFT JOIN enqueued e USING (workspace_id, month)
        LEFT JOIN (SELECT workspace_id, count(*) AS tasks FROM tasks WHERE deleted_at IS NULL GROUP BY 1) t
            ON t.workspace_id = due.workspace_id AND due.present
        LEFT JOIN (SELECT workspace_id, count(*) AS members FROM workspace_members GROUP BY 1) m
            ON m.workspace_id = due.workspace_id AND due.present
        LEFT JOIN (SELECT workspace_id, sum(size) AS bytes FROM stored_files GROUP BY 1) f
            ON f.workspace_id = due.workspace_id AND due.present
    ON CONFLICT (workspace_id, month) DO UPDATE SET tasks = greatest(old.tasks, excluded.tasks),
        members = greatest(old.members, excluded.members), file_bytes = greatest(old.file_bytes, excluded.file_bytes),
        jobs = old.jobs + excluded.jobs, counted_until = excluded.counted_until
    RETURNING month
""")

_CLOSE = text("""
    UPDATE usage_statements SET closed_at = now()
    WHERE closed_at IS NULL AND counted_until >= (month + interval '1 month') AT TIME ZONE 'UTC' RETURNING workspace_id
""")

_LOCK = text("SET LOCAL statement_timeout = '120s'"), text("SELECT pg_advisory_xact_lock(hashtext('usage_statements'))")


async def count(session: AsyncSession, now: datetime) -> int:
    """Brings the statements of this month, and open ones of past months, up to date; returns how many.

    Each job counts once.
    """
    for statement in _LOCK:  # a second count waits, and then sees what the first one has counted
        await session.execute(statement)
    return len((await session.execute(_COUNT, {"now": now})).all())


async def close(session: AsyncSession) -> int:
    """Closes the statements of months that are counted to their end; returns how many."""
    return len((await session.execute(_CLOSE)).all())
