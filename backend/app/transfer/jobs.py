"""The handlers of `tasks.import` and `tasks.export`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import select

from app.access.service import scope_of
from app.changes.recorder import Actor
from app.files.service import as_result, find, keep, made_by
from app.infra.storage import Storage
from app.kit.clock import utc_now
from app.kit.errors import AppError
from app.models import User
from app.tasks.service import Writer
from app.transfer import exports, readers, repository
from app.transfer.archive import Archive, safe
from app.transfer.errors import FileRejected
from app.transfer.job_args import ExportArgs, ImportArgs
from app.transfer.model import ParsedImport
from app.transfer.readers.csv_columns import parse_mapping
from app.transfer.service import Bringing, likely_duplicates
from app.worker import Permanent, RunningJob, handler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.access.scope import Scope

log = structlog.get_logger(__name__)

_NAMED = 100
"""Files of an export that are lost: the result says how many, and names so many."""


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


async def _bring(job: RunningJob, args: ImportArgs, parsed: ParsedImport, session: AsyncSession) -> ParsedImport:
    # Rights may have gone since the job was enqueued.
    _, user_id, scope = await _still_allowed(session, job, args.workspace_id, "member")
    writer = Writer(scope, Actor(user_id, job.id, job_id=job.id, trace_id=_trace(job)))
    home = await repository.project(session, args.project_id, args.workspace_id)
    if home is None:
        raise Permanent("project_gone", "The project is deleted or archived")
    bringing = Bringing(session, writer, job.id, args.workspace_id, home)
    warnings = await bringing.write(parsed, lambda done, total: job.progress(done, total, "tasks"))
    return replace(parsed, warnings=(*parsed.warnings, *warnings))


async def _still_allowed(
    session: AsyncSession, job: RunningJob, workspace_id: UUID | None, role: str
) -> tuple[UUID, UUID, Scope]:
    if job.created_by is None or workspace_id is None:
        raise Permanent("nobody", "The job is for nobody, or of no workspace")
    scope = await scope_of(session, job.created_by)
    try:
        scope.require(workspace_id, role)
    except AppError as error:
        raise Permanent(error.code, error.detail) from None
    return workspace_id, job.created_by, scope


def _trace(job: RunningJob) -> str | None:
    return job.traceparent.split("-")[1] if job.traceparent else None


@handler(ExportArgs)
async def export_workspace(job: RunningJob, _: ExportArgs) -> dict[str, Any]:
    """Streams the zip file into storage, without the files that are not there any more: the result names them.

    A repeated attempt finds the file, and says no more than that.
    """
    async with job.database.session() as session:
        made = await made_by(session, job.id)
        if made is not None:
            return as_result(made)
        workspace_id, user_id, scope = await _still_allowed(session, job, job.workspace_id, "viewer")
    now, lost = utc_now(), list[str]()
    async with job.transaction() as session:
        # It takes its connection when the bytes are stored: none is kept waiting for them.
        file = await keep(
            session,
            Storage(job.settings),
            _zipped(job, replace(scope, roles={workspace_id: scope.roles[workspace_id]}), now, lost),
            workspace_id=workspace_id,
            user_id=user_id,
            name=f"workspace-{now:%Y-%m-%d}.zip",
            media_type="application/zip",
            job_id=job.id,
        )
    if not lost:
        return as_result(file)
    log.error("export_without_files", count=len(lost))
    return {**as_result(file), "lost": len(lost), "lost_files": lost[:_NAMED]}


async def _zipped(job: RunningJob, scope: Scope, now: datetime, lost: list[str]) -> AsyncIterator[bytes]:
    """The archive in pieces; the paths of files that storage does not have any more go into `lost`."""
    archive, storage, done = Archive(now), Storage(job.settings), 0
    tasks = await exports.begin(job.database, scope, "json", None, now)
    async for piece in archive.entry("tasks.json", tasks.body(), compressed=True):
        yield piece
    async for row in repository.attachments(job.database, scope.workspace_ids[0]):
        await job.progress(done, None, "files")
        path = f"files/{row['key']}/{row['id']}/{safe(row['name'])}"
        try:
            content = await storage.open(row["storage_key"], 0, row["size"])
        except FileNotFoundError:
            lost.append(path)
            continue
        async for piece in archive.entry(path, content, compressed=False):
            yield piece
        done += 1
    yield archive.end()
