"""One request is one transaction, committed before its answer leaves (docs/adr/0002)."""

from typing import Annotated, cast

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.infra.database import Database
from app.infra.settings import Settings
from app.infra.storage import Storage
from app.infra.work import Work
from app.kit.pagination import CursorCodec
from app.web.idempotency import Replay, begin, fingerprint


async def get_database(request: Request) -> Database:
    return cast("Database", request.app.state.database)


async def get_storage(request: Request) -> Storage:
    return cast("Storage", request.app.state.storage)


async def get_settings(request: Request) -> Settings:
    return cast("Settings", request.app.state.settings)


async def get_cursors(request: Request) -> CursorCodec:
    return cast("CursorCodec", request.app.state.cursors)


async def get_work(request: Request) -> Work:
    """The request's unit of work, which `Route` ends; under an `Idempotency-Key` it begins with the key."""
    work = cast("Work", request.scope["taskapi.work"])
    replay: Replay | None = request.scope.get("taskapi.idempotency")
    if replay is not None:
        # The caller is known by now, and no connection waits for the body.
        replay.fingerprint = await fingerprint(request)
        await begin(await work.transaction(), replay, request.state.caller_id)
    return work


WorkDep = Annotated[Work, Depends(get_work)]


async def get_session(work: WorkDep) -> AsyncSession:
    """The request's transaction, for rooms whose work takes more than one statement."""
    return await work.transaction()


SessionDep = Annotated[AsyncSession, Depends(get_session)]
DatabaseDep = Annotated[Database, Depends(get_database)]
StorageDep = Annotated[Storage, Depends(get_storage)]
SettingsDep = Annotated[Settings, Depends(get_settings)]
CursorsDep = Annotated[CursorCodec, Depends(get_cursors)]
