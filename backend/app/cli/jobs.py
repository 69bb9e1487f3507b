"""`taskapi jobs`: what `/admin/jobs` and `/jobs` do, in a terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from uuid import UUID

import typer

if TYPE_CHECKING:
    from app.infra.work import Work

jobs = typer.Typer(help="Jobs, queues, workers.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
JobId = Annotated[UUID, typer.Argument(help="The job's id.")]


@jobs.command("list")
def list_jobs(
    *,
    kind: Annotated[list[str] | None, typer.Option(help="Only these kinds; repeatable.")] = None,
    state: Annotated[list[str] | None, typer.Option(help="Only these states; repeatable.")] = None,
    queue: Annotated[list[str] | None, typer.Option(help="Only these queues; repeatable.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="So many at most.")] = 20,
    as_json: Json = False,
) -> None:
    """List jobs of all workspaces, newest first."""
    from app.jobs import service
    from app.jobs.schemas import AnyJobQuery
    from app.kit.pagination import CursorCodec

    async def work(work: Work) -> Any:
        asked = {"kind": kind or [], "state": state or [], "queue": queue or [], "limit": limit}
        return (await service.page_of_all(work, CursorCodec(b""), AnyJobQuery(**asked), UUID(int=0)))["items"]

    _show(_do(work), ("id", "kind", "queue", "state", "attempt", "created_at"), as_json=as_json)


@jobs.command()
def show(job_id: JobId) -> None:
    """Print everything about a job as JSON."""
    from app.jobs import service

    _print_json(_do(lambda work: service.get(work, None, job_id)))


@jobs.command()
def cancel(job_id: JobId) -> None:
    """Cancel a job that waits, or ask one that runs to stop."""
    from app.jobs import service

    sys.stdout.write(f"{_do(lambda work: service.cancel(work, None, job_id))['state']}\n")


@jobs.command()
def retry(job_id: JobId) -> None:
    """Try a discarded job again, with all its attempts before it."""
    from app.jobs import service

    async def work(work: Work) -> Any:
        return await service.retry(await work.transaction(), None, job_id)

    sys.stdout.write(f"{_do(work)['state']}\n")


@jobs.command()
def enqueue(
    kind: Annotated[str, typer.Argument(help="For example health.probe; docs/reference/job-kinds.md lists them.")],
    args: Annotated[str, typer.Argument(help="The args as JSON.")] = "{}",
    *,
    unique_key: Annotated[str | None, typer.Option(help="Return the live job with this key instead, if any.")] = None,
) -> None:
    """Enqueue a job and print its id; it begins within the reconciler's interval."""
    from pydantic import ValidationError

    from app.core.job_modules import KIND_MODULES, load
    from app.worker import enqueue
    from app.worker.kinds import KINDS

    load(KIND_MODULES)
    declared = KINDS.get(kind)
    if declared is None or declared.parent:
        _fail(f"no kind {kind!r} to enqueue; there are {', '.join(sorted(KINDS))}")
    try:
        wanted = declared.model_validate_json(args)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        _fail(f"args: {'/'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']}")

    async def work(work: Work) -> Any:
        return (await enqueue(work, wanted, unique_key=unique_key)).id

    sys.stdout.write(f"{_do(work)}\n")


@jobs.command()
def queues(*, as_json: Json = False) -> None:
    """Show how many jobs wait in each queue, and for how long."""
    from app.admin import service

    columns = ("queue", "waiting", "scheduled", "running", "parked", "oldest_waiting_seconds", "paused_at")
    _show(_do(service.queues), columns, as_json=as_json)


@jobs.command()
def stats(
    *, hours: Annotated[int, typer.Option(min=1, max=168, help="How far back.")] = 24, as_json: Json = False
) -> None:
    """Show what ended lately by kind, and how long it took."""
    from app.admin import service

    found = _do(lambda work: service.stats(work, hours))
    if as_json:
        _print_json(found)
        return
    for kind in found["kinds"]:
        took = kind["duration_seconds"] or {}
        kind |= {"p50_seconds": took.get("p50"), "p99_seconds": took.get("p99")}
    columns = ("kind", "completed", "cancelled", "discarded", "per_minute", "p50_seconds", "p99_seconds")
    _show(found["kinds"], columns, as_json=False)
    sys.stdout.write(f"dead letters: {found['dead_letters']}\n")


def _do(work: Callable[[Work], Awaitable[Any]]) -> Any:
    """Runs one unit of work and commits it; what an operator can mend is one line and exit code 1."""
    import asyncpg
    from pydantic import ValidationError
    from sqlalchemy.exc import DBAPIError

    from app.kit.errors import AppError

    try:
        return asyncio.run(_commit(work))
    except ValidationError as error:
        _fail(error.errors(include_input=False, include_url=False)[0]["msg"])
    except AppError as error:
        _fail(error.detail or error.title)
    except asyncpg.PostgresError as error:
        _fail(f"the database refuses it: {str(error).splitlines()[0]}")
    except (DBAPIError, OSError, TimeoutError) as error:
        _fail(f"the database does not answer: {str(error).splitlines()[0] if str(error) else type(error).__name__}")


async def _commit(work: Callable[[Work], Awaitable[Any]]) -> Any:
    from app.cli.configuration import read_settings
    from app.infra.database import Database
    from app.infra.work import Work

    database = Database(read_settings())
    try:
        await database.start()
        unit = Work(database)
        try:
            found = await work(unit)
            await unit.end(commit=True)
            return found
        finally:
            await unit.end(commit=False)
    finally:
        await database.stop()


def _fail(reason: str) -> NoReturn:
    sys.stderr.write(f"jobs: {reason}\n")
    raise typer.Exit(1)


def _print_json(value: Any) -> None:
    from pydantic_core import to_json

    sys.stdout.write(to_json(value, indent=2).decode() + "\n")


def _show(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        _print_json(rows)
        return
    table = [columns, *([_cell(row[name]) for name in columns] for row in rows)]
    widths = [max(len(row[place]) for row in table) for place in range(len(columns))]
    for row in table:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}" if value >= 1 else f"{value:.3g}"
    return value.isoformat(" ", "seconds") if hasattr(value, "isoformat") else str(value)
