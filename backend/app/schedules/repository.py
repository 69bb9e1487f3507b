"""All SQL of the schedules. Each change is one statement: a beat that freezes holds nothing that another waits for."""

from __future__ import annotations

from sqlalchemy import text

from app.infra.statements import Statement

DUE = Statement(
    text("""
    SELECT id, name, kind, CAST(args AS text) AS args, interval_seconds, misfire, next_slot, now() AS now
    FROM schedules WHERE next_slot <= now() AND paused_at IS NULL
""")
)

NEXT = Statement(
    text("""
    SELECT CAST(extract(epoch FROM min(next_slot) - now()) AS float8) AS seconds FROM schedules WHERE paused_at IS NULL
""")
)

# Writes the slots down, and enqueues a job for each that this beat was the first to write. The slot's row decides; the
# schedule's own `next_slot` only says when to look again.
HANDLE = Statement(
    text("""
    WITH overlapping AS (
        SELECT EXISTS (
                SELECT FROM jobs WHERE schedule_id = :schedule_id AND state IN ('scheduled', 'available', 'running'))
            AND (SELECT overlap FROM schedules WHERE id = :schedule_id) = 'skip' AS skip
    ), first AS (
        INSERT INTO schedule_runs (schedule_id, slot, outcome, job_id)
        SELECT :schedule_id, slot,
            CASE WHEN NOT runs THEN 'missed' WHEN skip THEN 'skipped_overlap' ELSE 'enqueued' END,
            CASE WHEN runs AND NOT skip THEN job_id END
        FROM unnest(CAST(:slots AS timestamptz[]), CAST(:runs AS boolean[]), CAST(:job_ids AS uuid[]))
            AS wanted(slot, runs, job_id), overlapping
        ON CONFLICT (schedule_id, slot) DO NOTHING
        RETURNING slot, outcome, job_id
    ), planned AS (
        UPDATE schedules SET next_slot = :next_slot WHERE id = :schedule_id AND next_slot < :next_slot
    ), enqueued AS (
        INSERT INTO jobs (id, kind, queue, priority, args_version, args, max_attempts, state, schedule_id, slot)
        SELECT job_id, :kind, :queue, CAST(:priority AS smallint), CAST(:args_version AS smallint),
            CAST(:args AS jsonb), CAST(:max_attempts AS smallint), 'available', :schedule_id, slot
        FROM first WHERE outcome = 'enqueued'
    )
    SELECT outcome, count(*) AS slots FROM first GROUP BY outcome
""")
)

PUT_BUILT_IN = Statement(
    text("""
    INSERT INTO schedules (id, name, kind, args, interval_seconds, next_slot, built_in)
    VALUES (:id, :name, :kind, '{}', :interval_seconds, :next_slot, true)
    ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, interval_seconds = excluded.interval_seconds,
        next_slot = excluded.next_slot, updated_at = now(), version = schedules.version + 1
    WHERE schedules.built_in
        AND (schedules.kind, schedules.interval_seconds) <> (excluded.kind, excluded.interval_seconds)
    RETURNING id
""")
)

REMOVE_BUILT_IN = Statement(
    text("DELETE FROM schedules WHERE built_in AND name <> ALL (CAST(:names AS text[])) RETURNING name")
)
