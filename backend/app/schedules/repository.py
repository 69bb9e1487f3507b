"""All SQL of the room.

What a beat changes is one statement each: a beat that freezes holds nothing that another waits for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    DateTime,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    false,
    func,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from app.infra.statements import Statement
from app.kit.keyset import Key
from app.models import Job, Schedule, ScheduleRun, Workspace
from app.web.listing import Listing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

WAITING_LIMIT = 100
"""Slots of one schedule that wait for the job of another; what comes then is skipped."""
_BATCH = 500

NOW = Statement(text("SELECT now() AS now"))

_PLAN = """
    SELECT id, name, kind, CAST(args AS text) AS args, cron, interval_seconds, rrule, starts_at, time_zone,
        jitter_seconds, misfire, paused_at IS NOT NULL AS paused, next_slot, version, now() AS now
    FROM schedules WHERE next_slot <= now()
"""
_KNOWN = "kind = ANY (CAST(:kinds AS text[]))"
DUE = Statement(text(f"{_PLAN} AND {_KNOWN} ORDER BY next_slot LIMIT {_BATCH}"))
DUE_ONE = Statement(text(f"{_PLAN} AND {_KNOWN} AND id = :schedule_id"))

NEXT = Statement(
    text("""
    SELECT CAST(extract(epoch FROM min(next_slot) - now()) AS float8) AS seconds
    FROM schedules WHERE kind = ANY (CAST(:kinds AS text[]))
""")
)

UNKNOWN = Statement(text("SELECT name, kind FROM schedules WHERE kind <> ALL (CAST(:kinds AS text[]))"))

# Jobs are made for those only who may still work in the workspace; what is built in belongs to nobody.
_PERMITTED = """
    (schedules.workspace_id IS NULL OR EXISTS (
        SELECT FROM workspace_members AS member JOIN users ON users.id = member.user_id
        WHERE member.workspace_id = schedules.workspace_id AND member.user_id = schedules.created_by
            AND member.role <> 'viewer' AND users.is_active))
"""
# One live job of a schedule, whoever makes it: the unique key of jobs sees to it.
_KEY = "CASE WHEN schedules.overlap <> 'allow' THEN 'schedule:' || schedules.id END"
_JOB_COLUMNS = """
    id, kind, queue, priority, args_version, args, max_attempts, state, run_at, unique_key, workspace_id, created_by,
    schedule_id, slot
"""
_JOB_VALUES = """
    :kind, :queue, CAST(:priority AS smallint), CAST(:args_version AS smallint), CAST(:args AS jsonb),
    CAST(:max_attempts AS smallint)
"""

# Who moves `next_slot` on, from where it was read and unless the schedule was changed meanwhile, handles what lay
# between; every other beat finds nothing to do. The key of `schedule_runs` stands behind that: a slot has one row.
HANDLE = Statement(
    text(f"""
    WITH planned AS (
        UPDATE schedules SET next_slot = :next_slot
        WHERE id = :schedule_id AND next_slot = :planned AND version = :version
        RETURNING id, overlap, workspace_id, created_by, {_KEY} AS unique_key, {_PERMITTED} AS permitted
    ), wanted AS (
        SELECT given.*, row_number() OVER (PARTITION BY outcome ORDER BY slot) AS number
        FROM planned, unnest(CAST(:slots AS timestamptz[]), CAST(:outcomes AS text[]), CAST(:counts AS integer[]),
            CAST(:job_ids AS uuid[]), CAST(:starts AS timestamptz[])) AS given(slot, outcome, slots, job_id, run_at)
        WHERE NOT EXISTS (SELECT FROM schedule_runs AS run WHERE run.schedule_id = planned.id AND run.slot = given.slot)
    ), waiting AS (
        SELECT count(*) AS jobs FROM schedule_runs WHERE schedule_id = :schedule_id AND outcome = 'queued'
    ), made AS (
        INSERT INTO jobs ({_JOB_COLUMNS})
        SELECT job_id, {_JOB_VALUES}, CASE WHEN run_at > now() THEN 'scheduled' ELSE 'available' END, run_at,
            unique_key, workspace_id, created_by, planned.id, slot
        FROM wanted, planned, waiting
        WHERE outcome = 'enqueued' AND permitted AND (overlap = 'allow' OR (number = 1 AND jobs = 0))
        ON CONFLICT (kind, unique_key) WHERE state IN ('scheduled', 'available', 'running') DO NOTHING
        RETURNING id, state
    ), written AS (
        INSERT INTO schedule_runs (schedule_id, slot, outcome, slots, job_id)
        SELECT planned.id, slot,
            CASE WHEN outcome <> 'enqueued' THEN outcome
                WHEN NOT permitted THEN 'owner_gone'
                WHEN made.id IS NOT NULL THEN 'enqueued'
                WHEN overlap = 'queue' AND jobs + number <= {WAITING_LIMIT} THEN 'queued'
                ELSE 'skipped_overlap' END,
            slots, made.id
        FROM planned, waiting, wanted LEFT JOIN made ON made.id = wanted.job_id
        RETURNING outcome, slots
    )
    SELECT outcome, CAST(sum(slots) AS integer) AS slots,
        (SELECT count(*) FROM made WHERE state = 'available') AS available
    FROM written GROUP BY outcome
""")  # noqa: S608  made of constants
)

_IDLE = """
    NOT EXISTS (SELECT FROM jobs WHERE jobs.kind = schedules.kind AND jobs.unique_key = 'schedule:' || schedules.id
        AND jobs.state IN ('scheduled', 'available', 'running'))
"""

# The earliest of what waits, where nothing is in its way any more.
QUEUED = Statement(
    text(f"""
    SELECT DISTINCT ON (schedules.id) schedules.id, name, kind, CAST(args AS text) AS args, slot
    FROM schedule_runs JOIN schedules ON schedules.id = schedule_id
    WHERE outcome = 'queued' AND paused_at IS NULL AND kind = ANY (CAST(:kinds AS text[])) AND {_IDLE}
    ORDER BY schedules.id, slot LIMIT {_BATCH}
""")  # noqa: S608
)

START_QUEUED = Statement(
    text(f"""
    WITH taken AS (
        UPDATE schedule_runs
        SET outcome = CASE WHEN {_PERMITTED} THEN :outcome ELSE 'owner_gone' END,
            job_id = CASE WHEN {_PERMITTED} AND :outcome = 'enqueued' THEN CAST(:job_id AS uuid) END
        FROM schedules
        WHERE schedules.id = :schedule_id AND schedule_id = schedules.id AND slot = :slot AND outcome = 'queued'
            AND {_IDLE}
        RETURNING job_id, slot, schedules.id, workspace_id, created_by, {_KEY} AS unique_key
    )
    INSERT INTO jobs ({_JOB_COLUMNS})
    SELECT job_id, {_JOB_VALUES}, 'available', now(), unique_key, workspace_id, created_by, id, slot
    FROM taken WHERE job_id IS NOT NULL
    RETURNING id
""")  # noqa: S608
)

PUT_BUILT_IN = Statement(
    text("""
    INSERT INTO schedules (id, name, kind, args, interval_seconds, cron, time_zone, jitter_seconds, misfire, overlap,
        next_slot, built_in)
    VALUES (:id, :name, :kind, '{}', :interval_seconds, :cron, :time_zone, :jitter_seconds, :misfire, :overlap,
        :next_slot, true)
    ON CONFLICT (name) WHERE workspace_id IS NULL DO UPDATE SET kind = excluded.kind, misfire = excluded.misfire,
        overlap = excluded.overlap, updated_at = now(), version = schedules.version + 1
    WHERE (schedules.kind, schedules.misfire, schedules.overlap)
        <> (excluded.kind, excluded.misfire, excluded.overlap)
    RETURNING id
""")
)

TIME_BUILT_IN = Statement(
    text("""
    UPDATE schedules SET interval_seconds = :interval_seconds, cron = :cron, rrule = NULL, starts_at = NULL,
        time_zone = :time_zone, jitter_seconds = :jitter_seconds, next_slot = :next_slot, updated_at = now(),
        version = version + 1
    WHERE name = :name AND built_in AND NOT retimed
        AND (interval_seconds, cron, time_zone, jitter_seconds) IS DISTINCT FROM
            (CAST(:interval_seconds AS integer), CAST(:cron AS text), CAST(:time_zone AS text),
            CAST(:jitter_seconds AS integer))
    RETURNING id
""")
)

REMOVE_BUILT_IN = Statement(
    text("DELETE FROM schedules WHERE built_in AND name <> ALL (CAST(:names AS text[])) RETURNING name")
)

# What people see. `operator` also sees what is built in.
_s, _r, _j = Schedule.__table__.c, ScheduleRun.__table__.c, Job.__table__.c
_VISIBLE = or_(
    _s.workspace_id == any_(bindparam("workspace_ids", type_=ARRAY(Uuid()))),
    and_(_s.workspace_id.is_(None), bindparam("operator", type_=Boolean())),
)
_KINDS = bindparam("kinds", type_=ARRAY(Text))
_PAUSED = bindparam("paused", type_=Boolean())

SCHEDULE = Statement(select(*_s).where(_VISIBLE, _s.id == bindparam("schedule_id", type_=Uuid())))
SCHEDULES = Listing(
    "schedules",
    select(*_s).where(
        _VISIBLE,
        or_(func.cardinality(_KINDS) == 0, _s.kind == any_(_KINDS)),
        or_(_PAUSED.is_(None), _s.paused_at.is_not(None) == _PAUSED),
    ),
    [Key(name, _s[name], _s[name], _s[name].type) for name in ("name", "created_at", "id")],
    "name",
)
RUNS = Listing(
    "schedule_runs",
    select(*_r, _j.state.label("job_state"))
    .outerjoin(Job.__table__, _j.id == _r.job_id)
    .where(
        _r.schedule_id == bindparam("schedule_id", type_=Uuid()),
        or_(
            func.cardinality(bindparam("outcomes", type_=ARRAY(Text))) == 0,
            _r.outcome == any_(bindparam("outcomes", type_=ARRAY(Text))),
        ),
    ),
    # A schedule has one run for a slot: the slot is the id among its runs.
    [Key(name, _r.slot, _r.slot, DateTime(timezone=True)) for name in ("slot", "id")],
    "-slot",
)


async def now(session: AsyncSession) -> datetime:
    return (await session.scalars(select(func.now()))).one()


async def lock(
    session: AsyncSession, workspace_ids: Sequence[UUID], schedule_id: UUID, *, operator: bool
) -> Schedule | None:
    visible = or_(
        Schedule.workspace_id.in_(workspace_ids), Schedule.workspace_id.is_(None) & (true() if operator else false())
    )
    query = select(Schedule).where(Schedule.id == schedule_id, visible).with_for_update()
    return (await session.scalars(query)).one_or_none()


async def count(session: AsyncSession, workspace_id: UUID) -> int:
    """Those of the workspace, which gets no other until the transaction ends."""
    await session.execute(select(Workspace.id).where(Workspace.id == workspace_id).with_for_update(key_share=True))
    query = select(func.count()).select_from(Schedule).where(Schedule.workspace_id == workspace_id)
    return (await session.scalars(query)).one()


async def add(session: AsyncSession, values: Mapping[str, Any]) -> Schedule | None:
    """None where the workspace has one of this name."""
    statement = insert(Schedule).values(**values).on_conflict_do_nothing(index_elements=["workspace_id", "name"])
    return (await session.scalars(statement.returning(Schedule))).one_or_none()


async def change_built_in(session: AsyncSession, schedule: Schedule, values: Mapping[str, Any]) -> Schedule:
    statement = (
        update(Schedule)
        .where(Schedule.id == schedule.id)
        .values(**values, version=Schedule.version + 1, updated_at=func.clock_timestamp())
        .returning(Schedule)
    )
    options = {"populate_existing": True, "synchronize_session": False}
    return (await session.scalars(statement, execution_options=options)).one()
