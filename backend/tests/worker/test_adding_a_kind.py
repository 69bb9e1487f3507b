"""docs/howto/add-a-job.md is a test: its modules are made as it says, and its own test is run."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from job_kinds import BulkArgs, EchoArgs, PartArgs

from app.models import Job
from app.worker import enqueue, enqueue_parent, kinds
from app.worker.testing import assert_enqueued, run_jobs_until_idle
from tools.reference import ROOT

PAGE = (ROOT / "docs" / "howto" / "add-a-job.md").read_text()
FILES = re.findall(r"^```python\n# (\S+)\.py\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def modules() -> Iterator[dict[str, ModuleType]]:
    before = set(kinds.KINDS)
    made = {}
    for path, source in FILES:
        name = path.replace("/", ".")
        made[name] = sys.modules[name] = ModuleType(name)
        exec(compile(source, path, "exec"), made[name].__dict__)  # noqa: S102  our own page
    yield made
    for name in made:
        del sys.modules[name]
    for kind in set(kinds.KINDS) - before:
        del kinds.KINDS[kind]
        kinds.HANDLERS.pop(kind, None)


async def test_the_example_works_as_it_stands(modules, database, settings) -> None:
    (test,) = (value for module in modules.values() for name, value in vars(module).items() if name.startswith("test_"))
    await test(database, settings)


async def test_what_was_not_enqueued_is_missed_with_what_is_there(database) -> None:
    async with database.session() as session:
        await enqueue(session, EchoArgs(text="one"))
        assert await assert_enqueued(session, EchoArgs, text="one") == [EchoArgs(text="one")]
        await assert_enqueued(session, EchoArgs, times=0, text="two")
        with pytest.raises(AssertionError, match=r"0 jobs test.echo .*two.*\n.*one"):
            await assert_enqueued(session, EchoArgs, text="two")
        with pytest.raises(AssertionError, match="1 jobs"):
            await assert_enqueued(session, EchoArgs, times=2)


async def test_parents_end_with_the_children_that_are_run(database, settings) -> None:
    async with database.transaction() as session:
        parent = await enqueue_parent(session, BulkArgs(), [PartArgs(), PartArgs()])
    assert await run_jobs_until_idle(settings) == 2
    async with database.session() as session:
        assert (await session.get(Job, parent.id)).state == "completed"
