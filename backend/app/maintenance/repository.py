"""What is deleted when. Each statement takes one batch, so that nothing is locked for long."""

from __future__ import annotations

from sqlalchemy import text

from app.infra.statements import Statement

IDEMPOTENCY_KEYS = Statement(
    text("""
    DELETE FROM idempotency_keys WHERE (caller_id, key) IN (
        SELECT caller_id, key FROM idempotency_keys WHERE created_at < now() - interval '24 hours' LIMIT :batch)
    RETURNING key
""")
)

# A revoked session is kept as long as one that expired: its owner sees when and where it ended.
SESSIONS = Statement(
    text("""
    DELETE FROM sessions WHERE id IN (
        SELECT id FROM sessions WHERE expires_at < now() - interval '30 days' LIMIT :batch)
    RETURNING id
""")
)

LOGIN_FAILURES = Statement(
    text("""
    DELETE FROM login_failures WHERE (identifier, device) IN (
        SELECT identifier, device FROM login_failures
        WHERE greatest(last_failed_at, blocked_until) < now() - interval '30 days' LIMIT :batch)
    RETURNING device
""")
)

SCHEDULE_RUNS = Statement(
    text("""
    DELETE FROM schedule_runs WHERE (schedule_id, slot) IN (
        SELECT schedule_id, slot FROM schedule_runs
        WHERE created_at < now() - interval '7 days' AND outcome <> 'queued' LIMIT :batch)
    RETURNING slot
""")
)

OUTGOING_CIRCUITS = Statement(
    text("""
    DELETE FROM outgoing_circuits WHERE host IN (
        SELECT host FROM outgoing_circuits WHERE failed_at < now() - interval '1 day' LIMIT :batch)
    RETURNING host
""")
)

# One that was killed could not take its row along.
PROCESSES = Statement(
    text("""
    DELETE FROM processes WHERE id IN (
        SELECT id FROM processes WHERE seen_at < now() - interval '1 day' LIMIT :batch)
    RETURNING id
""")
)

# Leaves first: a task goes when no subtask refers to it any more, its parent in the next batch.
TRASH = Statement(
    text("""
    DELETE FROM tasks WHERE id IN (
        SELECT id FROM tasks WHERE deleted_at < now() - make_interval(days => :days)
            AND NOT EXISTS (SELECT FROM tasks AS subtask WHERE subtask.parent_id = tasks.id) LIMIT :batch)
    RETURNING id
""")
)
