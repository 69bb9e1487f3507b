"""All SQL of the room."""

from __future__ import annotations

from sqlalchemy import text

from app.infra.statements import Statement


def _statement(sql: str) -> Statement:
    return Statement(text(sql))


_MATCHING = """
    (cardinality(CAST(:job_ids AS uuid[])) = 0 OR jobs.id = ANY (CAST(:job_ids AS uuid[])))
    AND (cardinality(CAST(:kinds AS text[])) = 0 OR kind = ANY (CAST(:kinds AS text[])))
    AND (cardinality(CAST(:queues AS text[])) = 0 OR queue = ANY (CAST(:queues AS text[])))
    AND (CAST(:workspace_id AS uuid) IS NULL OR workspace_id = CAST(:workspace_id AS uuid))
    AND (CAST(:created_by AS uuid) IS NULL OR created_by = CAST(:created_by AS uuid))
    AND (CAST(:parent_id AS uuid) IS NULL OR parent_id = CAST(:parent_id AS uuid))
    AND (CAST(:error_code AS text) IS NULL OR errors -> -1 ->> 'code' = CAST(:error_code AS text))
    AND (CAST(:since AS timestamptz) IS NULL OR created_at >= CAST(:since AS timestamptz))
    AND (CAST(:until AS timestamptz) IS NULL OR created_at < CAST(:until AS timestamptz))
"""
# Of several with one unique key the newest; none, where the key is in use again.
_RETRIABLE = f"""
    state = 'discarded' AND {_MATCHING} AND (unique_key IS NULL OR NOT EXISTS (
        SELECT FROM jobs AS twin WHERE twin.kind = jobs.kind AND twin.unique_key = jobs.unique_key
            AND (twin.state IN ('scheduled', 'available', 'running') OR (twin.state = 'discarded' AND twin.id > jobs.id))))
"""
_WAITING = f"state IN ('scheduled', 'available') AND {_MATCHING}"


def _count(which: str) -> Statement:
    return _statement(f"SELECT count(*) AS jobs FROM (SELECT FROM jobs WHERE {which} LIMIT :limit) AS matching")  # noqa: S608


def _chosen(which: str) -> str:
    return f"""
        WITH chosen AS MATERIALIZED (
            SELECT id, parent_id FROM jobs WHERE {which} ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED)
    """  # noqa: S608


_IS_PARENT = "EXISTS (SELECT FROM jobs AS child WHERE child.parent_id = jobs.id)"

RETRIABLE = _count(_RETRIABLE)
WAITING = _count(_WAITING)

# As `jobs.repository.RETRY` does it for one: with a parent its discarded children, with a child its parent.
RETRY = _statement(f"""
    {_chosen(_RETRIABLE)}, changed AS (
        UPDATE jobs SET
            state = CASE WHEN {_IS_PARENT} THEN 'running' ELSE 'available' END,
            lease_until = CASE WHEN {_IS_PARENT} THEN now() END,
            attempt = 0, deaths = 0, run_at = now(), finished_at = NULL, result = NULL, progress = NULL,
            cancel_requested_at = NULL, deadline_at = NULL
        WHERE state = 'discarded' AND (id IN (SELECT id FROM chosen) OR parent_id IN (SELECT id FROM chosen)
            OR id IN (SELECT parent_id FROM chosen)))
    SELECT count(*) AS jobs FROM chosen
""")  # noqa: S608

DISCARD = _statement(f"""
    {_chosen(_WAITING)}, changed AS (
        UPDATE jobs SET state = 'discarded', finished_at = now(), errors = errors || jsonb_build_array(jsonb_build_object(
            'at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'attempt', attempt,
            'code', 'discarded_by_operator', 'message', 'An operator discarded the job', 'duration', 0))
        WHERE id IN (SELECT id FROM chosen))
    SELECT count(*) AS jobs FROM chosen
""")  # noqa: S608

PAUSE = _statement("""
    INSERT INTO paused_queues (queue, paused_by) VALUES (:queue, CAST(:user_id AS uuid)) ON CONFLICT DO NOTHING RETURNING queue
""")
RESUME = _statement("DELETE FROM paused_queues WHERE queue = :queue RETURNING queue")

STATS = _statement("""
    SELECT kind,
        count(*) FILTER (WHERE state = 'completed') AS completed,
        count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
        count(*) FILTER (WHERE state = 'discarded') AS discarded,
        count(*) FILTER (WHERE state = 'completed' AND finished_at > now() - interval '5 minutes') / 5.0::float8 AS per_minute,
        percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CAST(extract(epoch FROM finished_at - started_at) AS float8))
            FILTER (WHERE state = 'completed') AS durations,
        percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CAST(extract(epoch FROM started_at - run_at) AS float8))
            FILTER (WHERE state = 'completed' AND attempt = 1) AS latencies
    FROM jobs WHERE finished_at > now() - make_interval(hours => :hours) GROUP BY kind ORDER BY kind
""")
DEAD_LETTERS = _statement("SELECT count(*) AS jobs FROM jobs WHERE state = 'discarded' AND finished_at IS NOT NULL")
