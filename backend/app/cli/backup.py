"""`taskapi backup`: make, list, prove, put back and delete backups."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from app.infra.settings import Settings

backup = typer.Typer(help="Backups of the database and the stored files at BACKUP_URL.", no_args_is_help=True)

Name = Annotated[str | None, typer.Argument(help="The backup's name; the newest without one.")]
_MEGABYTE = 1_000_000


@backup.command()
def create() -> None:
    """Make a backup of this moment while everything runs; prints its name."""

    async def work(settings: Settings) -> None:
        from app.recovery import service

        made = await service.create(settings, _tell)
        rows = sum(made.rows.values())
        _say(f"{rows} rows, {made.files} files, {made.size / _MEGABYTE:.1f} MB in {made.seconds:.1f} s")
        if made.lost:
            _say(f"{len(made.lost)} stored files are gone or damaged, and not in it: {', '.join(made.lost[:5])}")
        sys.stdout.write(f"{made.name}\n")

    _do(work)


@backup.command("list")
def list_backups() -> None:
    """List the backups, newest first: name, time, size, files, release, and the proof."""

    async def work(settings: Settings) -> None:
        from app.recovery.vault import Vault

        vault = Vault(settings)
        for one in await vault.manifests():
            proof = await vault.proof(one.name)
            proven = f"restored in {proof.restore_seconds:.1f} s on {proof.at:%Y-%m-%d}" if proof else "not proven"
            size = f"{one.size / _MEGABYTE:.1f} MB"
            sys.stdout.write(
                f"{one.name}  {one.taken_at:%Y-%m-%d %H:%M}  {size:>12}  {one.files:>8} files  {one.release}  {proven}\n"
            )

    _do(work)


@backup.command()
def verify(name: Name = None) -> None:
    """Restore a backup into a scratch database, compare everything, and note the time that it took."""

    async def work(settings: Settings) -> None:
        from app.recovery import service

        manifest, proof = await service.verify(settings, name, _tell)
        sys.stdout.write(f"{manifest.name} is whole: restored in {proof.restore_seconds:.1f} s\n")

    _do(work)


@backup.command()
def restore(
    name: Name = None,
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Delete what is in the database now.")] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing, stop nothing: say whether it could begin (0), or why not (1)."),
    ] = False,
) -> None:
    """Put a backup in place of the database, and its files where they were. Stop api, workers and beats first."""

    async def work(settings: Settings) -> None:
        from app.recovery import service

        manifest = await service.restore(settings, name, _tell, replace=replace, check=check)
        now = "can be put back" if check else "is back: now run taskapi migrate"
        sys.stdout.write(f"{manifest.name} of {manifest.taken_at:%Y-%m-%d %H:%M} {now}\n")

    _do(work)


@backup.command()
def prune(
    *,
    keep: Annotated[int | None, typer.Option(min=1, help="The newest that stay; BACKUP_KEEP without it.")] = None,
    days: Annotated[int | None, typer.Option(min=0, help="Younger ones stay; BACKUP_KEEP_DAYS without it.")] = None,
) -> None:
    """Delete old backups, but never the newest one that was proven; prints the names."""

    async def work(settings: Settings) -> None:
        from app.recovery import service

        newest = settings.backup_keep if keep is None else keep
        gone = await service.prune(settings, newest, settings.backup_keep_days if days is None else days)
        sys.stdout.writelines(f"{name}\n" for name in gone)

    _do(work)


def _do(work: Callable[[Settings], Coroutine[Any, Any, None]]) -> NoReturn:
    """Ends the process: with 1 and one line when it cannot be done."""
    from asyncpg import PostgresError
    from obstore.exceptions import BaseError

    from app.cli.configuration import read_settings
    from app.infra import logging
    from app.recovery.errors import BackupError

    settings = read_settings()
    logging.configure("ERROR", settings.log_format)  # the command tells the rest itself
    code = 0
    try:
        asyncio.run(work(settings))
    except (BackupError, BaseError, PostgresError, OSError) as error:
        _say(str(error).splitlines()[0] if str(error) else type(error).__name__)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # At once: threads of obstore that are not done with the loop's objects abort an interpreter that takes its time.
    os._exit(code)


async def _tell(current: int, total: int | None, what: str) -> None:
    share = f" of {total}" if total else ""
    _say(f"{current}{share} {what}")


def _say(line: str) -> None:
    sys.stderr.write(f"backup: {line}\n")
