from __future__ import annotations

from app.kit.schema import Id
from app.worker import JobArgs, RunningJob, handler


class DigestArgs(JobArgs, kind="tests.digest", queue="reports", schedulable=True):
    """A kind of which people may make schedules; the product's own ones are tested where they are."""

    project_id: Id | None = None
    days: int = 7


@handler(DigestArgs)
async def digest(job: RunningJob, args: DigestArgs) -> dict:
    return {"workspace_id": str(job.workspace_id), "created_by": str(job.created_by), "days": args.days}
