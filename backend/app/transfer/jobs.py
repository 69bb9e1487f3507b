"""The handler of `tasks.import`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select

from app.access.service import scope_of
from app.changes.recorder import Actor
from app.files.service import find
from app.infra.storage import Storage
from app.kit.clock import utc_now
from app.kit.errors import AppError
from app.models import User
from app.tasks.service import Writer
from app.transfer import readers, repository
from app.transfer.errors import FileRejected
from app.transfer.job_args import ImportArgs
from app.transfer.model import ParsedImport
from app.transfer.readers.csv_columns import parse_mapping
from app.transfer.service import Bringing, likely_duplicates
from app.worker import Permanent, RunningJob, handler


@handler(ImportArgs)
async def import_tasks(job: RunningJob, args: ImportArgs) -> dict[str, Any]:
    """Reads the stored file and brings it in, with one commit. A repeated attempt makes the same ids again."""
    parsed = await _parse(job, args)
    if parsed.errors and args.on_error == "abort":
        raise Permanent("import_aborted", "The file has errors, so nothing came in", result=parsed.result(aborted=True))
    if args.dry_run:
        async with job.database.session() as session:
            duplicates = await likely_duplicates(session, args.workspace_id, parsed)
        return replace(parsed, warnings=(*parsed.warnings, *duplicates)).result()
    async with job.transaction() as session:
        if await job.effect(session, "imported"):
            parsed = await _bring(job, args, parsed, session)
    return parsed.result()


async def _parse(job: RunningJob, args: ImportArgs) -> ParsedImport:
    await job.progress(0, None, "reading")
    async with job.database.session() as session:
        file = await find(session, args.file_id)
        zone = await session.scalar(select(User.time_zone).where(User.id == job.created_by))
    if file is None:
        raise Permanent("file_gone", "The file is not there any more")
    content = await Storage(job.settings).get(file.storage_key)
    mapping = parse_mapping(args.mapping) if args.mapping else None
    try:
        # A large file keeps the processor for seconds: not on the loop that renews nothing meanwhile.
        return await asyncio.to_thread(
            readers.read, BytesIO(content), args.format, now=utc_now(), zone=ZoneInfo(zone or "UTC"), mapping=mapping
        )
    except FileRejected as error:
        nothing = ParsedImport(format=args.format).result(aborted=True)
        raise Permanent(error.code, error.detail, result=nothing) from None


async def _bring(job: RunningJob, args: ImportArgs, parsed: ParsedImport, session: Any) -> ParsedImport:
    if job.created_by is None:
        raise Permanent("nobody", "The job has nobody to import for")
    # Rights may have gone since the job was enqueued.
    writer = Writer(
        await scope_of(session, job.created_by), Actor(job.created_by, job.id, job_id=job.id, trace_id=_trace(job))
    )
    try:
        writer.scope.require(args.workspace_id)
    except AppError as error:
        raise Permanent(error.code, error.detail) from None
    home = await repository.project(session, args.project_id, args.workspace_id)
    if home is None:
        raise Permanent("project_gone", "The project is deleted or archived")
    bringing = Bringing(session, writer, job.id, args.workspace_id, home)
    warnings = await bringing.write(parsed, lambda done, total: job.progress(done, total, "tasks"))
    return replace(parsed, warnings=(*parsed.warnings, *warnings))


def _trace(job: RunningJob) -> str | None:
    return job.traceparent.split("-")[1] if job.traceparent else None
