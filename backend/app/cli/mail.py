"""`taskapi mail`: whether mail arrives, and who gets none."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.infra.settings import Settings

mail = typer.Typer(help="Mail.", no_args_is_help=True)
Address = Annotated[str, typer.Argument(help="An e-mail address.")]


@mail.command()
def test(address: Address) -> None:
    """Send a message to see whether mail arrives; prints the id of its job. A worker must run."""

    async def enqueue_it(session: AsyncSession, settings: Settings) -> str:
        from app import SERVICE_NAME
        from app.mail.job_args import EmailArgs
        from app.worker import enqueue

        values = {"service": SERVICE_NAME, "url": settings.public_url}
        job = await enqueue(session, EmailArgs(to=address, template="test", values=values))
        return f"{job.id}\n"

    _do(enqueue_it)


@mail.command()
def suppress(address: Address) -> None:
    """Send no more mail to an address."""

    async def suppress_it(session: AsyncSession, _: Settings) -> str:
        from pydantic import TypeAdapter

        from app.kit.schema import Email
        from app.mail import service

        await service.suppress(session, TypeAdapter(Email).validate_python(address), "asked")
        return ""

    _do(suppress_it)


@mail.command()
def allow(address: Address) -> None:
    """Send mail to a suppressed address again; exit 1 when it was not suppressed."""

    async def allow_it(session: AsyncSession, _: Settings) -> str:
        from app.mail import service

        if not await service.allow(session, address):
            _fail("the address is not suppressed")
        return ""

    _do(allow_it)


@mail.command()
def suppressed() -> None:
    """List the addresses that get no mail: since when, why, by which job."""

    async def list_them(session: AsyncSession, _: Settings) -> str:
        from app.kit.schema import rfc3339
        from app.mail import service

        rows = await service.suppressions(session)
        return "".join(f"{row.address}\t{rfc3339(row.created_at)}\t{row.reason}\t{row.job_id or '-'}\n" for row in rows)

    _do(list_them)


def _fail(reason: str) -> None:
    sys.stderr.write(f"mail: {reason}\n")
    raise typer.Exit(1)


def _do(what: Callable[[AsyncSession, Settings], Awaitable[str]]) -> None:
    """In one transaction; prints what it returns."""
    import asyncpg
    from pydantic import ValidationError
    from sqlalchemy.exc import DBAPIError

    try:
        sys.stdout.write(asyncio.run(_in_transaction(what)))
    except ValidationError as error:
        _fail(error.errors(include_input=False, include_url=False)[0]["msg"])
    except (asyncpg.PostgresError, DBAPIError, OSError) as error:
        _fail(str(error).splitlines()[0])


async def _in_transaction(what: Callable[[AsyncSession, Settings], Awaitable[str]]) -> str:
    from app.infra.database import Database
    from app.infra.settings import Settings

    settings = Settings()
    database = Database(settings)
    try:
        async with database.transaction() as session:
            return await what(session, settings)
    finally:
        await database.stop()
