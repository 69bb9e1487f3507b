"""All SQL of the machinery. Each state change of a job is one short statement on the database's clock.

A write to a running job names its lease token: no row in the answer means that the job is no longer this attempt's.
"""

from __future__ import annotations

from typing import cast

from sqlalchemy import Boolean, Table, bindparam, case, func, select, text
from sqlalchemy.dialects.postgresql import insert

from app.infra.statements import Statement
from app.models import Job
from app.models.base import one_of
from app.models.job import LIVE_STATES


def _statement(sql: str) -> Statement:
    return Statement(text(sql))


# A workspace's running jobs are counted without a lock: claims at one moment may pass the limit by their number.
_COUNTED = "lease_token IS NOT NULL"
_CLAIMABLE = f"""
    state = 'available' AND run_at <= now() AND cancel_requested_at IS NULL
    AND jobs.queue NOT IN (SELECT paused_queues.queue FROM paused_queues)
    AND (deadline_at IS NULL OR deadline_at > now())
    AND kind || '@' || args_version = ANY (CAST(:known AS text[]))
    AND (workspace_id IS NULL OR workspace_id <> ALL (ARRAY(
        SELECT workspace_id FROM jobs WHERE state = 'running' AND {_COUNTED} AND workspace_id IS NOT NULL
        GROUP BY workspace_id HAVING count(*) >= CAST(:workspace_limit AS integer))))
"""  # noqa: S608  made of constants

_CLAIM = f"""
    UPDATE jobs SET state = 'running', attempt = attempt + 1, lease_token = gen_random_uuid(),
        lease_until = now() + make_interval(secs => :lease), worker = :worker, started_at = now(), progress = NULL
    WHERE id = (
        SELECT id FROM jobs WHERE queue = :queue AND {_CLAIMABLE}
        ORDER BY priority, run_at, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING id, kind, queue, args_version, CAST(args AS text) AS args, attempt, max_attempts, lease_token,
        workspace_id, created_by, traceparent,
        CAST(extract(epoch FROM now() - run_at) AS float8) AS latency,
        CAST(extract(epoch FROM deadline_at - now()) AS float8) AS seconds_left
"""  # noqa: S608  made of constants

CLAIM = _statement(_CLAIM)

# Ends or gives back an attempt. A cancel that came meanwhile wins over another try.
_BACK = "CASE WHEN cancel_requested_at IS NOT NULL THEN 'cancelled' ELSE {state} END"
_NO_LEASE = "lease_token = NULL, lease_until = NULL"
_HELD = "id = :id AND lease_token = :token"

RENEW = _statement(f"""
    UPDATE jobs SET lease_until = now() + make_interval(secs => :lease) WHERE {_HELD}
    RETURNING cancel_requested_at IS NOT NULL AS cancelled
""")  # noqa: S608

PROGRESS = _statement(f"""
    UPDATE jobs SET progress = CAST(:progress AS jsonb) WHERE {_HELD}
    RETURNING cancel_requested_at IS NOT NULL AS cancelled
""")  # noqa: S608

LOOK = _statement(f"SELECT cancel_requested_at IS NOT NULL AS cancelled FROM jobs WHERE {_HELD}")  # noqa: S608

HOLD = text(f"SELECT 1 FROM jobs WHERE {_HELD} FOR NO KEY UPDATE")  # noqa: S608

_FINISH = f"""
    UPDATE jobs SET state = :state, result = CAST(:result AS jsonb), errors = errors || CAST(:errors AS jsonb),
        finished_at = now(), {_NO_LEASE}
    WHERE {_HELD} RETURNING state
"""  # noqa: S608

FINISH = _statement(_FINISH)

# One commit for both. The claim still sees as running the job that ends: it must not count for its workspace's limit.
FINISH_AND_CLAIM = _statement(f"""
    WITH ended AS ({_FINISH}), claimed AS ({_CLAIM.replace(_COUNTED, "lease_token <> :token")})
    SELECT ended.state AS ended, claimed.* FROM (SELECT) AS one LEFT JOIN ended ON true LEFT JOIN claimed ON true
""")  # noqa: S608

RETRY = _statement(f"""
    UPDATE jobs SET state = {_BACK.format(state="'scheduled'")}, run_at = now() + make_interval(secs => :delay),
        attempt = attempt - CAST(:given_back AS integer), errors = errors || CAST(:errors AS jsonb),
        finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN now() END, {_NO_LEASE}
    WHERE {_HELD} RETURNING state
""")  # noqa: S608

_RELEASE = f"""
    UPDATE jobs SET state = {_BACK.format(state="'available'")}, attempt = attempt - 1,
        finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN now() END, {_NO_LEASE}
"""  # noqa: S608

RELEASE = _statement(f"{_RELEASE} WHERE {_HELD} RETURNING state")

# Between two jobs of a pool process: what is claimed in its name, but for the job that it had last, it never heard of.
RELEASE_UNHEARD = _statement(
    f"{_RELEASE} WHERE worker = :worker AND state = 'running' AND lease_token <> :token RETURNING id"
)

DUE = _statement("""
    UPDATE jobs SET state = 'available' WHERE id IN (
        SELECT id FROM jobs WHERE state = 'scheduled' AND run_at <= now()
        ORDER BY run_at LIMIT :batch FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING queue
""")

NEXT_DUE = _statement("""
    SELECT CAST(extract(epoch FROM min(run_at) - now()) AS float8) AS seconds FROM jobs WHERE state = 'scheduled'
""")

RUNNING_HERE = _statement("""
    SELECT DISTINCT worker FROM jobs WHERE state = 'running' AND starts_with(worker, :worker_id)
""")

# A row lock that a frozen attempt still holds for its effects (KEY SHARE) does not hold this up. Only the death of its
# own process speaks against a job: whatever ends a whole worker ends the jobs beside it too.
RESCUE = _statement("""
    WITH lost AS (
        SELECT id, CASE
            WHEN worker <> ALL (CAST(:dead AS text[])) THEN 'lease_expired'
            WHEN deaths + 1 >= CAST(:poison AS integer) THEN 'poison' ELSE 'worker_died' END AS code
        FROM jobs WHERE state = 'running' AND lease_token IS NOT NULL
            AND (lease_until < now() OR worker = ANY (CAST(:dead AS text[])))
        ORDER BY lease_until LIMIT :batch FOR NO KEY UPDATE SKIP LOCKED
    ), ended AS (
        SELECT lost.*, CASE
            WHEN cancel_requested_at IS NOT NULL THEN 'cancelled'
            WHEN code = 'poison' OR attempt >= max_attempts OR deadline_at <= now() THEN 'discarded'
            ELSE 'available' END AS next
        FROM lost JOIN jobs USING (id)
    )
    UPDATE jobs SET state = ended.next, lease_token = NULL, lease_until = NULL,
        deaths = deaths + CAST(ended.code <> 'lease_expired' AS integer),
        finished_at = CASE WHEN ended.next <> 'available' THEN now() END,
        errors = errors || jsonb_build_array(jsonb_build_object(
            'at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'attempt', attempt,
            'code', ended.code, 'message', CASE ended.code
                WHEN 'poison' THEN 'Too many processes died under this job'
                WHEN 'worker_died' THEN 'The process that ran the job is gone'
                ELSE 'The worker was not heard of until its lease was over' END,
            'worker', worker, 'duration', round(extract(epoch FROM now() - started_at), 3)))
    FROM ended WHERE jobs.id = ended.id
    RETURNING jobs.id, kind, queue, state, ended.code
""")

EXPIRE = _statement("""
    UPDATE jobs SET state = CASE WHEN cancel_requested_at IS NOT NULL THEN 'cancelled' ELSE 'discarded' END,
        finished_at = now(), errors = CASE WHEN cancel_requested_at IS NOT NULL THEN errors
            ELSE errors || jsonb_build_array(jsonb_build_object(
                'at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'attempt', attempt,
                'code', 'deadline_exceeded', 'message', 'The deadline passed before the job could run', 'duration', 0)) END
    WHERE id IN (
        SELECT id FROM jobs WHERE deadline_at <= now() AND state IN ('scheduled', 'available')
        ORDER BY deadline_at LIMIT :batch FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING id, kind, state
""")

# A parent has no lease. Counting thousands of children takes a while: the more there are, the later it is done again.
SETTLE = _statement("""
    WITH parent AS MATERIALIZED (
        SELECT id FROM jobs WHERE state = 'running' AND lease_token IS NULL AND lease_until <= now()
        ORDER BY lease_until LIMIT :batch FOR NO KEY UPDATE SKIP LOCKED
    ), counted AS (
        SELECT parent.id, count(child.state) AS total,
            count(*) FILTER (WHERE child.state IN ('completed', 'cancelled', 'discarded')) AS ended,
            count(*) FILTER (WHERE child.state = 'cancelled') AS cancelled,
            count(*) FILTER (WHERE child.state = 'discarded') AS discarded
        FROM parent LEFT JOIN jobs AS child ON child.parent_id = parent.id GROUP BY parent.id
    ), told AS (
        SELECT counted.*, jsonb_build_object('completed', ended - cancelled - discarded, 'cancelled', cancelled,
                'discarded', discarded, 'live', total - ended) AS children,
            CASE WHEN ended < total THEN 'running' WHEN cancel_requested_at IS NOT NULL AND cancelled > 0 THEN 'cancelled'
                WHEN discarded > 0 THEN 'discarded' ELSE 'completed' END AS next
        FROM counted JOIN jobs USING (id)
    )
    UPDATE jobs SET state = next,
        progress = jsonb_build_object('current', ended, 'total', total, 'message', NULL, 'children', children),
        result = CASE WHEN next <> 'running' THEN jsonb_build_object('total', total, 'children', children) END,
        errors = CASE WHEN next <> 'discarded' THEN errors ELSE errors || jsonb_build_array(jsonb_build_object(
            'at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'attempt', attempt,
            'code', 'children_discarded', 'message', format('%s of %s jobs were discarded', discarded, total),
            'duration', round(extract(epoch FROM now() - started_at), 3))) END,
        finished_at = CASE WHEN next <> 'running' THEN now() END,
        lease_until = CASE WHEN next = 'running' THEN now() + make_interval(secs => 0.5 + total * 0.0001) END
    FROM told WHERE jobs.id = told.id
    RETURNING jobs.id, kind, state
""")

CLAIMABLE = _statement(f"""
    SELECT wanted.queue, found.jobs FROM unnest(CAST(:queues AS text[])) AS wanted(queue), LATERAL (
        SELECT count(*) AS jobs FROM (
            SELECT FROM jobs WHERE jobs.queue = wanted.queue AND {_CLAIMABLE}
            LIMIT CAST(:cap AS integer)) AS rows) AS found
""")  # noqa: S608

PARKED = _statement("""
    SELECT DISTINCT kind, args_version FROM (
        SELECT kind, args_version FROM jobs WHERE state = 'available' AND queue = ANY (CAST(:queues AS text[]))
            AND kind || '@' || args_version <> ALL (CAST(:known AS text[])) LIMIT 1000) AS rows
""")

# A parent goes after its children, and they stay while it counts them.
PRUNE = _statement("""
    DELETE FROM jobs WHERE id IN (
        SELECT id FROM jobs WHERE kind = :kind AND finished_at < now() - make_interval(secs => :retention)
            AND NOT EXISTS (SELECT FROM jobs AS child WHERE child.parent_id = jobs.id)
            AND NOT EXISTS (SELECT FROM jobs AS parent WHERE parent.id = jobs.parent_id AND parent.finished_at IS NULL)
        ORDER BY finished_at LIMIT :batch FOR UPDATE SKIP LOCKED)
    RETURNING id
""")

_GIVEN = (
    "id", "kind", "queue", "priority", "args_version", "args", "max_attempts", "unique_key", "workspace_id", "created_by",
    "parent_id", "deadline_at", "traceparent",
)  # fmt: skip
_jobs = cast("Table", Job.__table__)
_given = {name: bindparam(name, type_=_jobs.c[name].type) for name in (*_GIVEN, "run_at")}
_is_parent = bindparam("parent", type_=Boolean)
_live = text(one_of("state", LIVE_STATES))

INSERT = Statement(
    insert(_jobs)
    .values(
        {name: _given[name] for name in _GIVEN}
        | {
            "state": case((_is_parent, "running"), (_given["run_at"] > func.now(), "scheduled"), else_="available"),
            "run_at": func.coalesce(_given["run_at"], func.now()),
            "started_at": case((_is_parent, func.now())),
            "lease_until": case((_is_parent, func.now())),
        }
    )
    .on_conflict_do_nothing(index_elements=["kind", "unique_key"], index_where=_live)
    .returning(_jobs)
)

SAME = Statement(select(_jobs).where(Job.kind == _given["kind"], Job.unique_key == _given["unique_key"], _live))

INSERT_CHILDREN = text("""
    INSERT INTO jobs (id, kind, queue, priority, args_version, args, max_attempts, state,
        parent_id, workspace_id, created_by, deadline_at, traceparent)
    SELECT id, kind, queue, priority, args_version, CAST(args AS jsonb), max_attempts, 'available',
        CAST(:parent_id AS uuid), CAST(:workspace_id AS uuid), CAST(:created_by AS uuid),
        CAST(:deadline_at AS timestamptz), CAST(:traceparent AS text)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:kinds AS text[]), CAST(:queues AS text[]), CAST(:priorities AS smallint[]),
        CAST(:versions AS smallint[]), CAST(:args AS text[]), CAST(:attempts AS smallint[]))
        AS child (id, kind, queue, priority, args_version, args, max_attempts)
""")

TAKE_EFFECT = text(
    "INSERT INTO job_effects (job_id, effect_key) VALUES (:id, :key) ON CONFLICT DO NOTHING RETURNING effect_key"
)

REPORT = _statement("""
    INSERT INTO processes (id, role, host, pid, version, queues, known, slots)
    VALUES (:id, :role, :host, :pid, :version, CAST(:queues AS text[]), CAST(:known AS text[]), :slots)
    ON CONFLICT (id) DO UPDATE SET seen_at = now(),
        worked_at = coalesce(now() - make_interval(secs => :seconds_since_work), processes.worked_at)
    RETURNING id
""")

LEAVE = _statement("DELETE FROM processes WHERE id = :id RETURNING id")

PROCESSES = _statement("""
    SELECT id, role, host, pid, version, queues, slots, started_at, seen_at, worked_at,
        seen_at > now() - make_interval(secs => :alive) AS alive,
        (SELECT count(*) FROM jobs WHERE state = 'running' AND starts_with(jobs.worker, processes.id || '/')) AS busy
    FROM processes ORDER BY role, started_at, id
""")

QUEUES = _statement("""
    SELECT queue, coalesce(waiting, 0) AS waiting, coalesce(scheduled, 0) AS scheduled, coalesce(running, 0) AS running,
        oldest_waiting_seconds, paused_at, coalesce(parked, 0) AS parked
    FROM unnest(CAST(:queues AS text[])) WITH ORDINALITY AS named(queue, place)
    LEFT JOIN (
        SELECT queue, count(*) FILTER (WHERE state = 'available') AS waiting,
            count(*) FILTER (WHERE state = 'scheduled') AS scheduled,
            count(*) FILTER (WHERE state = 'running' AND lease_token IS NOT NULL) AS running,
            CAST(extract(epoch FROM now() - min(run_at) FILTER (WHERE state = 'available')) AS float8) AS oldest_waiting_seconds,
            count(*) FILTER (WHERE state = 'available' AND NOT EXISTS (
                SELECT FROM processes WHERE role = 'worker' AND jobs.queue = ANY (queues)
                    AND jobs.kind || '@' || jobs.args_version = ANY (known)
                    AND seen_at > now() - make_interval(secs => :alive))) AS parked
        FROM jobs WHERE state IN ('scheduled', 'available', 'running') GROUP BY queue
    ) AS live USING (queue) LEFT JOIN paused_queues USING (queue) ORDER BY place
""")

# A slot that was due before the last one that was handled waits for no beat: its rule, or its kind, is one that no beat
# of this release can handle, and their log names it.
SCHEDULE_LAG = _statement("""
    SELECT greatest(0, CAST(extract(epoch FROM now() - min(next_slot)) AS float8)) AS seconds
    FROM schedules WHERE paused_at IS NULL
        AND next_slot > coalesce((SELECT max(created_at) FROM schedule_runs), '-infinity')
""")

PAUSED = _statement("SELECT queue FROM paused_queues")

NOT_COMPLETED = _statement("SELECT id FROM jobs WHERE id = ANY (CAST(:ids AS uuid[])) AND state <> 'completed'")

LAST_PROOF = _statement("""
    SELECT
        (SELECT CAST(extract(epoch FROM now() - finished_at) AS float8) FROM jobs
            WHERE kind = 'health.probe' AND state = 'completed' AND finished_at IS NOT NULL
            ORDER BY finished_at DESC LIMIT 1) AS workers,
        (SELECT CAST(extract(epoch FROM now() - max(created_at)) AS float8) FROM schedule_runs) AS beat
""")
