"""`./run deploy-test [--rounds N] [--broken N]`: releases are replaced under load, on a real container engine.

Then one goes out with `BLUE_GREEN` and is taken back, and at the end, without load, the data is destroyed and restored.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.deploy.installation import Breakage, Installation
from tests.deploy.ledger import Load, settle, wrongs
from tests.deploy.recovery import lose_and_restore
from tests.load import Part

BREAKAGES = {
    "a worker whose jobs fail": Breakage(
        "app/worker/proof.py", "    return\n\n\n@dataclass", "    raise Exception\n\n\n@dataclass"
    ),
    "an api that does not start": Breakage("app/cli/serve.py", "import typer", "import typo"),
    "an api that does not get ready": Breakage(
        "app/core/schema_gate.py", "if not standing.usable", "if standing.usable"
    ),
    "a worker that does not start": Breakage("app/core/celery_app.py", "import structlog", "import typo"),
}

APPLICATION = ("web", "celery_worker", "celery_worker_mail", "celery_worker_heavy", "celery_beat")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


async def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run deploy-test", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="deployments of a release that works (20)")
    parser.add_argument("--broken", type=int, default=len(BREAKAGES), help="deployments of one that does not (4)")
    parser.add_argument("--rate", type=float, default=20, help="requests a second (20)")
    parser.add_argument("--port", type=int, default=28443, help="for https; the next one is for http (28443)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="taskapi-deploy-") as directory:
        installation = Installation(Path(directory), asked.port)
        installation.clone()
        try:
            return await _rounds(installation, asked)
        finally:
            installation.remove()


async def _rounds(installation: Installation, asked: argparse.Namespace) -> int:
    failures = []
    began = time.monotonic()
    code, output = await installation.run("start_production", "--init")
    if code:
        say(output)
        return 1
    say(f"a fresh clone works after {time.monotonic() - began:.0f} s")
    before = await asyncio.to_thread(installation.containers)
    code, output = await installation.run("start_production")
    if code or await asyncio.to_thread(installation.containers) != before:
        failures.append(f"a second run changed something (exit {code}): {output[-3000:]}")
    installation.make_superuser()
    async with installation.client() as client:
        load = Load([client], asked.rate)
        async with load.running() as part:
            for number in range(asked.rounds):
                failures += await _deploy(installation, part, f"round {number + 1}/{asked.rounds}", None)
            for name, broken in list(BREAKAGES.items())[: asked.broken]:
                failures += await _deploy(installation, part, name, broken)
            failures += await _there_and_back(installation, part)
        await load.repeat()
    failures += await settle(installation)
    failures += wrongs(installation, load)
    failures += map(str, part.failures)
    say(f"{part}; {load.created} tasks and {len(load.mailings)} jobs acknowledged; {len(failures)} findings")
    failures += await lose_and_restore(installation, say)
    for one in failures[:20]:
        say(one)
    return 1 if failures else 0


async def _deploy(
    installation: Installation, part: Part, name: str, broken: Breakage | None, **environment: str
) -> list[str]:
    """One more release under the load; a broken one must change nothing."""
    # In threads: the load goes on.
    await asyncio.to_thread(installation.new_release, broken)
    before = await asyncio.to_thread(installation.containers)
    found = await _run(installation, part, name, "start_production", code=1 if broken else 0, **environment)
    after = await asyncio.to_thread(installation.containers)
    if any("unhealthy" in one for service in after.values() for one in service):
        found.append(f"{name}: unhealthy afterwards: {after}")
    replaced = {service for service in APPLICATION if before[service] != after[service]}
    if replaced != (set() if broken else set(APPLICATION)):
        found.append(f"{name}: replaced {replaced}")
    return found


async def _there_and_back(installation: Installation, part: Part) -> list[str]:
    """Blue, green, blue and green: what a rollback starts is what ran before, and a start leaves what stays alone."""
    blue = await asyncio.to_thread(installation.containers)
    found = await _deploy(installation, part, "green beside blue", None, BLUE_GREEN="1")
    green = await asyncio.to_thread(installation.containers)
    found += await _run(installation, part, "nothing to do", "start_production", BLUE_GREEN="1")
    for name, script, wanted in (("back to blue", "rollback", blue), ("to green again", "rollback", green)):
        found += await _run(installation, part, name, script, BLUE_GREEN="1")
        if await asyncio.to_thread(installation.containers) != wanted:
            found.append(f"{name}: other containers than before")
    return found


async def _run(
    installation: Installation, part: Part, name: str, script: str, *, code: int = 0, **environment: str
) -> list[str]:
    """A script under the load."""
    before = part.mark()
    began = time.monotonic()
    ended_with, output = await installation.run(script, **environment)
    took = time.monotonic() - began
    found = [f"{name}: exit code {ended_with}: {output[-3000:]}"] if ended_with != code else []
    meanwhile = part.since(before)
    said = "".join(f"\n    {one}" for one in [*meanwhile.failures, *found])
    say(f"{name}: exit {ended_with} after {took:.0f} s; {meanwhile}{said}")
    return found


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
