from typing import Any

from app.infra.statements import Statement
from app.maintenance import repository
from app.maintenance.job_args import CleanupArgs
from app.worker import RunningJob, handler
from app.worker.kinds import KINDS
from app.worker.pruner import prune_kind

_BATCH = 500


@handler(CleanupArgs)
async def clean_up(job: RunningJob, _: CleanupArgs) -> dict[str, Any]:
    deleted = {
        "idempotency_keys": await _in_batches(job, repository.IDEMPOTENCY_KEYS),
        "sessions": await _in_batches(job, repository.SESSIONS),
        "login_failures": await _in_batches(job, repository.LOGIN_FAILURES),
        "schedule_runs": await _in_batches(job, repository.SCHEDULE_RUNS),
        "outgoing_circuits": await _in_batches(job, repository.OUTGOING_CIRCUITS),
        "processes": await _in_batches(job, repository.PROCESSES),
        "tasks": await _in_batches(job, repository.TRASH, days=job.settings.trash_retention_days),
    }
    deleted["jobs"] = sum([await prune_kind(job.database, kind) for kind in KINDS])
    return {name: count for name, count in deleted.items() if count}


async def _in_batches(job: RunningJob, statement: Statement, **params: Any) -> int:
    deleted = 0
    while True:
        batch = len(await job.database.fetch(statement, {"batch": _BATCH, **params}))
        deleted += batch
        if batch == 0:  # a short batch of tasks may have freed their parents
            return deleted
        await job.checkpoint()
