"""The handlers of `backup.create` and `backup.verify`."""

from typing import Any

from app.recovery import service
from app.recovery.job_args import CreateArgs, VerifyArgs
from app.worker import RunningJob, handler


@handler(CreateArgs)
async def create_backup(job: RunningJob, _: CreateArgs) -> dict[str, Any]:
    made = await service.create(job.settings, job.progress)
    pruned = await service.prune(job.settings, job.settings.backup_keep, job.settings.backup_keep_days)
    return {"name": made.name, "bytes": made.size, "files": made.files, "lost": len(made.lost), "pruned": pruned}


@handler(VerifyArgs)
async def verify_backup(job: RunningJob, _: VerifyArgs) -> dict[str, Any]:
    manifest, proof = await service.verify(job.settings, None, job.progress)
    return {"name": manifest.name, "restore_seconds": proof.restore_seconds}
