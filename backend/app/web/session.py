"""One request is one transaction, committed before its answer leaves (docs/adr/0002)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.infra.database import Database
from app.infra.settings import Settings
from app.infra.storage import Storage
from app.infra.work import Work
from app.kit.pagination import CursorCodec
from app.web.idempotency import Replay, begin


async def get_database(request: Request) -> Database:
    return cast("Database", request.app.state.database)


async def get_storage(request: Request) -> Storage:
    return cast("Storage", request.app.state.storage)


async def get_settings(request: Request) -> Settings:
    return cast("Settings", request.app.state.settings)


async def get_cursors(request: Request) -> CursorCodec:
    return cast("CursorCodec", request.app.state.cursors)


def deadline_of(request: Request) -> asyncio.Timeout:
    """What is left of the request's time in the database; `Route` sets it, `no_deadline` lifts it."""
    return asyncio.timeout_at(request.scope.get("taskapi.deadline"))


async def get_work(request: Request) -> AsyncIterator[Work]:
    """The request's work; its transaction, if there is one, commits when the handler returned.

    Always with `scope="function"`: FastAPI's default scope commits after the client has its answer.
    """
    work = Work(request.app.state.database)
    try:
        replay: Replay | None = request.scope.get("taskapi.idempotency")
        if replay is not None:
            await begin(await work.transaction(), replay, request.state.caller_id)
        yield work
        async with deadline_of(request):
            await work.end(commit=True)
    finally:
        async with deadline_of(request):
            await work.end(commit=False)


WorkDep = Annotated[Work, Depends(get_work, scope="function")]


async def get_session(work: WorkDep) -> AsyncSession:
    """The request's transaction, for rooms whose work takes more than one statement."""
    return await work.transaction()


SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
DatabaseDep = Annotated[Database, Depends(get_database)]
StorageDep = Annotated[Storage, Depends(get_storage)]
SettingsDep = Annotated[Settings, Depends(get_settings)]
CursorsDep = Annotated[CursorCodec, Depends(get_cursors)]
