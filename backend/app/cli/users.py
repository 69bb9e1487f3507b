"""`taskapi users`: accounts made by the operator."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from uuid import UUID

users = typer.Typer(help="Accounts.", no_args_is_help=True)


@users.callback()
def _group() -> None:
    # With one command and no callback Typer would drop the command's name.
    pass


@users.command()
def create(
    *,
    email: Annotated[str, typer.Option(help="The address to sign in with.")],
    superuser: Annotated[bool, typer.Option("--superuser", help="Sees and does what operators may.")] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input; otherwise it is asked for.")
    ] = False,
) -> None:
    """Make an account with a personal workspace and an inbox, and print its id."""
    import asyncpg
    from pydantic import ValidationError
    from sqlalchemy.exc import DBAPIError

    from app.kit.errors import AppError

    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else typer.prompt("Password", hide_input=True)
    try:
        user_id = asyncio.run(_create(email, password, superuser=superuser))
    except ValidationError as error:
        _fail(error.errors(include_input=False, include_url=False)[0]["msg"])
    except (AppError, asyncpg.PostgresError, DBAPIError, OSError) as error:
        _fail(str(error).splitlines()[0])
    else:
        sys.stdout.write(f"{user_id}\n")


def _fail(reason: str) -> None:
    sys.stderr.write(f"users create: {reason}\n")
    raise typer.Exit(1)


async def _create(email: str, password: str, *, superuser: bool) -> UUID:
    from app.auth import service
    from app.auth.errors import EmailTaken
    from app.auth.schemas import Registration
    from app.identity.parts import make_identity
    from app.infra.database import Database
    from app.infra.settings import Settings

    settings = Settings()
    asked = Registration(email=email, password=password)
    database = Database(settings)
    identity = make_identity(database, settings)
    try:
        await database.start()
        password_hash = await service.hash_new_password(identity, settings, asked.password, email=asked.email)
        async with database.transaction() as session:
            user = await service.create_account(
                session, email=asked.email, password_hash=password_hash, is_superuser=superuser
            )
    finally:
        await identity.hasher.stop()
        await database.stop()
    if user is None:
        raise EmailTaken
    return user.id
