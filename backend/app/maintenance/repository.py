"""What is deleted when. Each statement takes one batch, so that nothing is locked for long."""

from __future__ import annotations

from sqlalchemy import text

from app.infra.statements import Statement
from app.models.idempotency_key import IDEMPOTENCY_HOURS


def _batch_of(table: str, where: str) -> Statement:
    # The condition stands outside too: a row that is changed meanwhile is looked at once more, and by that alone.
    batch = f"SELECT ctid FROM {table} WHERE {where} LIMIT :batch"  # noqa: S608 (both are our own words, below)
    return Statement(text(f"DELETE FROM {table} WHERE ctid = ANY (ARRAY({batch})) AND {where} RETURNING 1"))  # noqa: S608


IDEMPOTENCY_KEYS = _batch_of("idempotency_keys", f"created_at < now() - interval '{IDEMPOTENCY_HOURS} hours'")
# A revoked session is kept as long as one that expired: its owner sees when and where it ended.
SESSIONS = _batch_of("sessions", "expires_at < now() - interval '30 days'")
LOGIN_FAILURES = _batch_of("login_failures", "greatest(last_failed_at, blocked_until) < now() - interval '30 days'")
SCHEDULE_RUNS = _batch_of("schedule_runs", "created_at < now() - interval '7 days' AND outcome <> 'queued'")
OUTGOING_CIRCUITS = _batch_of("outgoing_circuits", "failed_at < now() - interval '1 day'")
# One that was killed could not take its row along.
PROCESSES = _batch_of("processes", "seen_at < now() - interval '1 day'")
# Leaves first: a task goes when no subtask refers to it any more, its parent in the next batch.
TRASH = _batch_of(
    "tasks",
    "deleted_at < now() - make_interval(days => :days)"
    " AND NOT EXISTS (SELECT FROM tasks AS subtask WHERE subtask.parent_id = tasks.id)",
)
