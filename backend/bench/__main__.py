"""`./run bench [serve | jobs]`: see --help."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from sqlalchemy.engine import make_url

from bench import floor, jobs, report, rows
from bench.measuring import RATE_LIMIT_SCALE, Options, measure, product_environment, serving
from bench.workloads import WORKLOADS, WrongAnswer
from devstack.process import DevstackError
from devstack.supervisor import BACKEND, PRODUCT

DATABASE = "taskapi_bench"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./run bench",
        description="Measures the api beside its floor and writes docs/reference/performance.md; `serve` only loads rows and "
        "serves the api on them. The rows go into a database of their own on the server of DATABASE_URL.",
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--rows", type=int, default=80_000, help="tasks in all (%(default)s)")
    shared.add_argument("--users", type=int, default=8, help="who have the same number of them each (%(default)s)")
    shared.add_argument(
        "--database-url", help=f"the scratch database, emptied at each start ({DATABASE} on the server of DATABASE_URL)"
    )
    commands = parser.add_subparsers(dest="command", metavar="[measure | serve | jobs]")
    one = commands.add_parser("measure", parents=[shared], help="the default")
    one.add_argument("--workloads", default=",".join(WORKLOADS), help="%(default)s")
    one.add_argument("--rounds", type=int, default=Options.rounds, help="%(default)s")
    one.add_argument("--seconds", type=float, default=Options.seconds, help="of one burst (%(default)s)")
    one.add_argument("--connections", type=int, default=Options.connections, help="%(default)s")
    one.add_argument("--no-page", action="store_true", help="print only, leave docs/reference/performance.md as it is")
    three = commands.add_parser("jobs", help="trivial jobs through a real worker; the last line is a JSON object")
    three.add_argument("--database-url", help="of a database of its own that may be emptied")
    two = commands.add_parser("serve", parents=[shared], help="load, write the state file, serve the api until SIGTERM")
    two.add_argument("--port", type=int, required=True)
    two.add_argument("--state", type=Path, required=True, help="for users, passwords and task ids, as JSON")
    return parser


def _servers(database_url: str | None) -> tuple[str, str]:
    environment = os.environ
    server = environment.get("DATABASE_URL") or environment.get("TEST_DATABASE_URL")
    redis_url = environment.get("REDIS_URL") or environment.get("TEST_REDIS_URL")
    if not (server or database_url) or not redis_url:
        raise rows.Refused("there are no servers: start it with ./run bench, or set DATABASE_URL and REDIS_URL")
    if database_url is None:
        database_url = make_url(str(server)).set(database=DATABASE).render_as_string(hide_password=False)
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    return url, redis_url


def main(arguments: list[str]) -> int:
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in {"-h", "--help"}):
        arguments = ["measure", *arguments]
    asked = _parser().parse_args(arguments)
    database_url, redis_url = _servers(asked.database_url)
    if asked.command == "jobs":
        return _jobs(database_url, redis_url)
    if asked.users < 1 or asked.rows % asked.users:
        raise rows.Refused(f"--rows {asked.rows} must be a multiple of --users {asked.users}")
    state = asyncio.run(rows.load(database_url, users=asked.users, per_user=asked.rows // asked.users, say=_say))
    if asked.command == "serve":
        asked.state.write_text(json.dumps(state))
        _say(f"rate limits are on, times {RATE_LIMIT_SCALE:,}; serving on http://127.0.0.1:{asked.port} until SIGTERM")
        # This process becomes the api: who looks at the port finds the shipped process and nothing else.
        os.execve(sys.executable, [*PRODUCT, "serve"], product_environment(database_url, redis_url, asked.port))  # noqa: S606
    asyncio.run(floor.prepare(database_url))
    works = asked.workloads.split(",")
    if unknown := set(works) - set(WORKLOADS):
        raise rows.Refused(f"there is no workload {', '.join(sorted(unknown))}: {', '.join(WORKLOADS)}")
    options = Options(asked.rounds, asked.seconds, asked.connections)
    with serving(database_url, redis_url, state["users"]) as targets:
        figures = measure(targets, works, options, _say)
    print(f"\n{report.table(figures)}\n\n{report.chart(figures)}\n")
    if not asked.no_page:
        shown = [word for word in arguments if word != "measure"]
        page = report.write(figures, shlex.join(["./run", "bench", *shown]), BACKEND.parent)
        _say(f"written: {page}")
    return 0


def _jobs(database_url: str, redis_url: str) -> int:
    load = jobs.Load.of_environment()
    _say(f"{load.warm} jobs to warm up, {load.low} at {load.rate:g} a second, {load.jobs} as fast as one producer can")
    result = json.dumps(asdict(asyncio.run(jobs.run(database_url, redis_url, load, _say))))
    if path := os.environ.get("BENCH_RESULT"):
        Path(path).write_text(result)
    _say(result)
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (rows.Refused, WrongAnswer, DevstackError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
