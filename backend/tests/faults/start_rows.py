"""Starting: on a database that is not there yet, and on one whose schema is not."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from app.infra import migrations
from tests.faults.migrator import VERSIONS
from tests.faults.product import Api, Process
from tests.faults.trial import Trial, row
from tests.faults.world import World

_REVISION = """
from alembic import op

revision = {revision!r}
down_revision = {before!r}
serves = {revision!r}

def upgrade():
    op.execute("CREATE TABLE IF NOT EXISTS faults_applied (revision text)")
    op.execute("INSERT INTO faults_applied VALUES ('{revision}')")
    op.execute("SELECT pg_sleep(1)")
"""
"""Long enough to be killed in, and seen if it was done twice."""


@row(
    "F26",
    "PostgreSQL is not there when an api starts: it comes after 30 s; it never comes; SIGTERM while the api waits",
    "ready <= 5 s after it came; given up with one line and exit code 3 at 60 s (+/- 5); ended <= 2 s after SIGTERM; live throughout",
    rounds=5,
    unit="starts of each",
)
async def no_database(trial: Trial) -> None:
    timeout = 5 if trial.quick else 60
    async with trial.world(STARTUP_TIMEOUT=str(timeout)) as world:
        for number in range(trial.rounds):
            await asyncio.gather(_late(trial, world, timeout / 2), _never(trial, world, timeout), _ended(trial, world))
            trial.progress(number + 1)


async def _without_database(world: World) -> tuple[Api, float]:
    api = world.begin_api(DATABASE_URL="postgresql://127.0.0.1:1/nothing")
    await api.answers(api.client, "/health/live")  # the waiting begins with the first answer
    return api, time.monotonic()


async def _late(trial: Trial, world: World, pause: float) -> None:
    way, address = await world.way_to_postgres()
    way.cut()
    api = world.begin_api(DATABASE_URL=address)
    await api.answers(api.client, "/health/live")
    await asyncio.sleep(pause)
    for path, status in (("/health/live", 200), ("/health/ready", 503), ("/health/startup", 503)):
        answer = await api.client.get(path)
        trial.check(answer.status_code == status, f"{path} answers {answer.status_code} without a database")
    trial.check("database" in answer.json()["waiting_for"], f"/health/startup says {answer.text}")
    way.mend()
    came = time.monotonic()
    await api.ready()
    trial.measure("PostgreSQL there to ready", p100=5).append(time.monotonic() - came)
    api.kill()


async def _never(trial: Trial, world: World, patience: float) -> None:
    api, began = await _without_database(world)
    code = await api.ended()
    trial.measure("first answer to giving up", p100=patience + 5).append(time.monotonic() - began)
    trial.check(code == 3, f"exit code {code}")
    trial.check(trial.quick or time.monotonic() - began > patience - 5, "given up too early")
    said = [line for line in api.log.splitlines() if line.startswith("not started: database could not be started")]
    trial.check(len(said) == 1, f"it said {said}")


async def _ended(trial: Trial, world: World) -> None:
    api, _ = await _without_database(world)
    told = time.monotonic()
    api.terminate()
    await api.ended()
    trial.measure("SIGTERM to end", p100=2).append(time.monotonic() - told)


@row(
    "F27",
    "eight migrators and two apis start at once on a database one revision behind; in each third round the one that migrates is "
    "killed with `-9`",
    "all start within 30 s, each revision is applied once; after the kill another one does it",
    rounds=10,
    unit="revisions",
)
async def many_migrators(trial: Trial) -> None:
    apis, migrators = (1, 3) if trial.quick else (2, 8)
    with tempfile.TemporaryDirectory(prefix="taskapi-versions-") as folder:
        async with trial.world(**{VERSIONS: folder}) as world:
            before = migrations.head()
            for number in range(trial.rounds):
                revision = f"{number:04d}f"
                (Path(folder) / f"{revision}.py").write_text(_REVISION.format(revision=revision, before=before))
                await _start_on_behind(trial, world, apis, migrators, kill=number % 3 == 0)
                applied = await world.one("SELECT count(*) FROM faults_applied WHERE revision = $1", revision)
                trial.check(applied == 1, f"{revision} was applied {applied} times")
                reached = await world.one("SELECT version_num FROM alembic_version")
                trial.check(reached == revision, f"the schema is at {reached}, not at {revision}")
                before = revision
                trial.progress(number + 1)


async def _start_on_behind(trial: Trial, world: World, apis: int, migrators: int, *, kill: bool) -> None:
    began = time.monotonic()
    runners = [world.migrator() for _ in range(migrators)]
    starting = [world.begin_api() for _ in range(apis)]
    if kill:
        runners.remove(victim := await _who_migrates(runners))
        victim.kill()
    for runner in runners:
        code = await runner.ended()
        trial.check(code == 0, f"a migrator ended with {code}: {runner.log[-500:]}")
    await asyncio.gather(*(api.ready() for api in starting))
    trial.measure("start to all ready, one killed" if kill else "start to all ready", p100=30).append(
        time.monotonic() - began
    )
    for api in starting:
        api.kill()


async def _who_migrates(runners: list[Process]) -> Process:
    while True:
        for runner in runners:
            if "migrating from" in runner.log:
                return runner
        await asyncio.sleep(0.02)
