"""All SQL of the reports. Everything is counted by the database: no list grows with the number of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import TextClause
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

# Days are those of a zone: their first moments are computed in it, so a day of a clock change has 23 or 25 hours.
_CHOSEN = """
    WITH period AS (
        SELECT CAST(:zone AS text) AS zone,
            CAST(CAST(:since AS date) AS timestamp) AT TIME ZONE :zone AS starts,
            CAST(CAST(:until AS date) + 1 AS timestamp) AT TIME ZONE :zone AS ends,
            CAST(CAST(:since AS date) - (CAST(:until AS date) - CAST(:since AS date) + 1) AS timestamp)
                AT TIME ZONE :zone AS starts_before,
            CAST(now() AT TIME ZONE :zone AS date) AS today
    ), chosen AS (
        SELECT t.id, t.key, t.title, t.created_at, t.completed_at, t.due_at, o.open, o.open AND t.due_at < now() AS overdue
        FROM tasks t, LATERAL (SELECT t.status NOT IN ('done', 'cancelled') AND t.archived_at IS NULL AS open) AS o
        WHERE t.workspace_id = :workspace_id AND t.deleted_at IS NULL
            AND (cardinality(CAST(:project_ids AS uuid[])) = 0 OR t.project_id = ANY (CAST(:project_ids AS uuid[])))
            AND (cardinality(CAST(:label_ids AS uuid[])) = 0 OR EXISTS (
                SELECT FROM task_labels l WHERE l.task_id = t.id AND l.label_id = ANY (CAST(:label_ids AS uuid[]))))
            AND (cardinality(CAST(:assignee_ids AS uuid[])) = 0 OR EXISTS (
                SELECT FROM task_assignees a WHERE a.task_id = t.id AND a.user_id = ANY (CAST(:assignee_ids AS uuid[]))))
    )
"""
_DONE = "completed_at >= starts AND completed_at < ends"

# An imported task may have been created "after" it was done.
TOTALS = text(f"""{_CHOSEN}
    SELECT
        count(*) FILTER (WHERE created_at >= starts AND created_at < ends) AS created,
        count(*) FILTER (WHERE {_DONE}) AS done,
        count(*) FILTER (WHERE created_at >= starts_before AND created_at < starts) AS created_before,
        count(*) FILTER (WHERE completed_at >= starts_before AND completed_at < starts) AS done_before,
        count(*) FILTER (WHERE {_DONE} AND due_at IS NOT NULL) AS with_due,
        count(*) FILTER (WHERE {_DONE} AND completed_at <= due_at) AS on_time,
        percentile_cont(0.5) WITHIN GROUP (
            ORDER BY greatest(CAST(extract(epoch FROM completed_at - created_at) AS float8), 0) / 86400)
            FILTER (WHERE {_DONE}) AS median_days,
        count(*) FILTER (WHERE open) AS open,
        count(*) FILTER (WHERE overdue) AS overdue,
        ARRAY[
            count(*) FILTER (WHERE open AND age <= 7),
            count(*) FILTER (WHERE open AND age BETWEEN 8 AND 30),
            count(*) FILTER (WHERE open AND age BETWEEN 31 AND 90),
            count(*) FILTER (WHERE open AND age BETWEEN 91 AND 365),
            count(*) FILTER (WHERE open AND age > 365)] AS ages,
        ARRAY[
            count(*) FILTER (WHERE overdue AND late = 0),
            count(*) FILTER (WHERE overdue AND late BETWEEN 1 AND 7),
            count(*) FILTER (WHERE overdue AND late BETWEEN 8 AND 30),
            count(*) FILTER (WHERE overdue AND late > 30)] AS lateness
    FROM chosen, period, LATERAL (SELECT
        today - CAST(created_at AT TIME ZONE zone AS date) AS age,
        today - CAST(due_at AT TIME ZONE zone AS date) AS late) AS days
""")  # noqa: S608  made of constants

THROUGHPUT = text(f"""{_CHOSEN}
    SELECT CAST(date_trunc(:unit, at AT TIME ZONE zone) AS date) AS day,
        count(*) FILTER (WHERE NOT done) AS created, count(*) FILTER (WHERE done) AS done
    FROM chosen, period, LATERAL (VALUES (false, created_at), (true, completed_at)) AS event(done, at)
    WHERE at >= starts AND at < ends GROUP BY 1
""")  # noqa: S608

_SHARES = """
    , shares AS (
        SELECT {name} AS name, {id} IS NULL AS none, count(*) FILTER (WHERE {done}) AS done,
            count(*) FILTER (WHERE open) AS open, count(*) FILTER (WHERE overdue) AS overdue
        FROM chosen CROSS JOIN period {joins} GROUP BY {id}
    ), ranked AS (
        SELECT *, row_number() OVER (ORDER BY none, done + open DESC, lower(name), name) AS place
        FROM shares WHERE done + open > 0
    )
    SELECT least(place, :shares + 1) AS place, count(*) AS names, min(name) AS name, none,
        CAST(sum(done) AS bigint) AS done, CAST(sum(open) AS bigint) AS open, CAST(sum(overdue) AS bigint) AS overdue
    FROM ranked GROUP BY least(place, :shares + 1), none ORDER BY none, 1
"""

PEOPLE = text(
    _CHOSEN
    + _SHARES.format(
        id="u.id",
        name="min(coalesce(u.name, u.email))",
        done=_DONE,
        joins="LEFT JOIN task_assignees a ON a.task_id = chosen.id LEFT JOIN users u ON u.id = a.user_id",
    )
)
LABELS = text(
    _CHOSEN
    + _SHARES.format(
        id="l.id",
        name="min(l.name)",
        done=_DONE,
        joins="LEFT JOIN task_labels tl ON tl.task_id = chosen.id LEFT JOIN labels l ON l.id = tl.label_id",
    )
)

OVERDUE = text(f"""{_CHOSEN}
    SELECT key, title, CAST(due_at AT TIME ZONE zone AS date) AS due,
        today - CAST(due_at AT TIME ZONE zone AS date) AS days,
        ARRAY(SELECT coalesce(u.name, u.email) FROM task_assignees a JOIN users u ON u.id = a.user_id
              WHERE a.task_id = chosen.id ORDER BY 1 LIMIT 4) AS people
    FROM chosen, period WHERE overdue ORDER BY due_at, id LIMIT :latest
""")  # noqa: S608

_NAMES = text("""
    SELECT w.name AS workspace, now() AS now,
        ARRAY(SELECT name FROM projects WHERE id = ANY (CAST(:project_ids AS uuid[])) AND workspace_id = w.id
              AND deleted_at IS NULL ORDER BY lower(name)) AS projects,
        ARRAY(SELECT name FROM labels WHERE id = ANY (CAST(:label_ids AS uuid[])) AND workspace_id = w.id
              ORDER BY lower(name)) AS labels,
        ARRAY(SELECT coalesce(u.name, u.email) FROM workspace_members m JOIN users u ON u.id = m.user_id
              WHERE u.id = ANY (CAST(:assignee_ids AS uuid[])) AND m.workspace_id = w.id ORDER BY 1) AS people
    FROM workspaces w WHERE w.id = :workspace_id
""")

_ZONE = text("SELECT time_zone FROM users WHERE id = :user_id")

# Days are those of the schedule that a job comes from: its slot is the first moment after the day, or the week, that is over.
_ACTIVE = text("""
    WITH moment AS (
        SELECT date_trunc(:unit, coalesce(j.slot, j.created_at) AT TIME ZONE z.zone) AS ends, z.zone
        FROM jobs j LEFT JOIN schedules s ON s.id = j.schedule_id, LATERAL (SELECT coalesce(s.time_zone, 'UTC') AS zone) AS z
        WHERE j.id = :job_id
    ), period AS (
        SELECT zone, ends - CAST('1 ' || :unit AS interval) AS starts, ends FROM moment
    )
    SELECT w.id AS workspace_id, o.user_id AS owner_id, zone, CAST(starts AS date) AS since, CAST(ends AS date) - 1 AS until
    FROM period, workspaces w, LATERAL (
        SELECT m.user_id FROM workspace_members m JOIN users u ON u.id = m.user_id
        WHERE m.workspace_id = w.id AND m.role = 'owner' AND u.is_active ORDER BY m.created_at, m.user_id LIMIT 1) AS o
    WHERE (CAST(:after AS uuid) IS NULL OR w.id > :after) AND EXISTS (
        SELECT FROM changes c WHERE c.workspace_id = w.id
            AND c.created_at >= starts AT TIME ZONE zone AND c.created_at < ends AT TIME ZONE zone)
    ORDER BY w.id LIMIT :batch
""")


async def active(
    session: AsyncSession, job_id: UUID, unit: str, after: UUID | None, batch: int
) -> Sequence[Mapping[str, Any]]:
    """Workspaces in which something happened in the last whole `day` or `week`, with their oldest owner and that period."""
    params = {"job_id": job_id, "unit": unit, "after": after, "batch": batch}
    return await rows(session, _ACTIVE, params)


async def zone_of(session: AsyncSession, user_id: UUID | None) -> str:
    zone = await session.scalar(_ZONE, {"user_id": user_id})
    return str(zone or "UTC")


async def names(connection: AsyncConnection | AsyncSession, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of the workspace and of what its tasks are chosen by; `now` is the snapshot's moment."""
    return (await rows(connection, _NAMES, params))[0]


async def rows(
    connection: AsyncConnection | AsyncSession, statement: TextClause, params: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """The rows, each readable by column name."""
    return [dict(row) for row in (await connection.execute(statement, params)).mappings()]
