"""`taskapi`: the product's command line. Modules are imported when their command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from app.cli.backup import backup
from app.cli.jobs import jobs
from app.cli.mail import mail
from app.cli.users import users

main = typer.Typer(
    name="taskapi",
    help="Task Management API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
main.add_typer(users, name="users")
main.add_typer(mail, name="mail")
main.add_typer(jobs, name="jobs")
main.add_typer(backup, name="backup")


@main.command()
def serve() -> None:
    """Serve HTTP until SIGTERM."""
    from app.cli.serve import run_serve

    run_serve()


@main.command()
def worker(
    *,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Run nothing: exit 1 when the workers of this host are stuck. For container probes."
        ),
    ] = False,
    prove: Annotated[
        bool,
        typer.Option(
            "--prove", help="Run nothing: exit 1 unless a probe ends in each of WORKER_QUEUES within a minute."
        ),
    ] = False,
) -> None:
    """Run jobs until SIGTERM."""
    if check:
        from app.cli.healthcheck import check_worker

        check_worker()
        return
    from app.cli.worker import prove_worker, run_worker

    if prove:
        prove_worker()
    else:
        run_worker()


@main.command()
def beat(
    *,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Run nothing: exit 1 when the beats of this host are stuck. For container probes."
        ),
    ] = False,
    prove: Annotated[
        bool, typer.Option("--prove", help="Run nothing: exit 1 unless a slot is handled within a minute.")
    ] = False,
) -> None:
    """Fill the slots of schedules until SIGTERM; any number may run."""
    if check:
        from app.cli.healthcheck import check_beat

        check_beat()
        return
    from app.cli.worker import prove_beat, run_beat

    if prove:
        prove_beat()
    else:
        run_beat()


@main.command()
def healthcheck(
    role: Annotated[
        Literal["api", "worker", "beat"],
        typer.Option(envvar="PROCESS_ROLE", help="What this container runs."),
    ] = "api",
    port: Annotated[int, typer.Option(envvar="PORT", help="Where its api listens.")] = 8000,
) -> None:
    """Exit 1 when the api of this container is not ready, or as `worker --check` and `beat --check` do."""
    if role == "worker":
        worker(check=True)
    elif role == "beat":
        beat(check=True)
    else:
        from app.cli.healthcheck import check_api

        check_api(port)


@main.command()
def migrate(
    *,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Change nothing; exit 0 at this release's version, 4 behind it, 5 ahead of it where this release still "
            "runs, 6 ahead where it does not, 7 while a backup is restored, 1 where the database could not be asked.",
        ),
    ] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Ask no database: print the SQL.")] = False,
    since: Annotated[str, typer.Option("--from", help="Where the SQL begins: the revision that is there.")] = "base",
    back_to: Annotated[
        str | None, typer.Option(help="Go back to this earlier revision; what only newer ones hold is lost.")
    ] = None,
) -> None:
    """Bring the database schema to the version that this release needs, one migrator at a time."""
    from app.cli.migrate import migrate

    migrate(check=check, sql=sql, since=since, back_to=back_to)


@main.command("log-level")
def log_level(
    level: Annotated[
        str | None, typer.Argument(help="DEBUG, INFO, WARNING or ERROR; without one, say which it is.")
    ] = None,
    *,
    minutes: Annotated[int, typer.Option(min=1, max=24 * 60, help="How long; then it is LOG_LEVEL again.")] = 15,
    by: Annotated[str | None, typer.Option(help="Who asks, for the log.")] = None,
    back: Annotated[bool, typer.Option("--back", help="LOG_LEVEL again, now.")] = False,
) -> None:
    """Change how much all apis, workers and beats log, for a while; they follow within seconds and log who asked."""
    from app.cli.log_level import run_log_level

    run_log_level(level, minutes=minutes, by=by, back=back)


@main.command()
def profile(
    pid: Annotated[int | None, typer.Argument(help="The process; without one, list those that there are.")] = None,
    *,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="For how long.")] = 10,
    output: Annotated[Path | None, typer.Option(help="Where the stacks go; standard output without it.")] = None,
) -> None:
    """Say where a running api, worker or beat spends its time: stacks of its threads, for a flame graph."""
    from app.cli.profile import run_profile

    run_profile(pid, seconds=seconds, output=output)


@main.command()
def doctor(
    *,
    before_start: Annotated[
        bool,
        typer.Option(
            "--before-start",
            help="Leave out what needs running workers and beats; faults of mail and backups are warnings.",
        ),
    ] = False,
    certificate: Annotated[
        Path | None, typer.Option(help="The certificate that nginx serves (PEM): readable, and not near its end?")
    ] = None,
    apis: Annotated[int, typer.Option(min=0, help="Apis that there are to be, for the sum of connections.")] = 2,
    workers: Annotated[int, typer.Option(min=0, help="Workers, likewise.")] = 2,
    beats: Annotated[int, typer.Option(min=0, help="Beats, likewise.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is wrong with the installation and what to change; exit 1 for a fault, 3 for malformed settings."""
    from app.cli.doctor import run_doctor
    from app.cli.examinations import Installation

    run_doctor(Installation(apis, workers, beats, certificate), before_start=before_start, as_json=as_json)
