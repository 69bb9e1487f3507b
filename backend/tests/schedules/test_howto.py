"""The examples of `docs/howto/schedules.md`, in their order."""

from __future__ import annotations

import json
import re

from app.worker.kinds import HANDLERS, KINDS
from tools.reference import ROOT

PAGE = (ROOT / "docs" / "howto" / "schedules.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


async def test_the_examples_of_the_page_work(api):
    declared = {}
    exec(next(code for language, code in BLOCKS if language == "python"), declared)  # noqa: S102  our own page
    try:
        schedule_id, statuses = "", []
        for request in (text for language, text in BLOCKS if language == "http"):
            line, _, body = request.strip().partition("\n")
            method, path = line.replace("{schedule_id}", schedule_id).split()
            answer = await api.request(method, path, **({"json": json.loads(body)} if body else {}))
            assert answer.status_code < 300, (line, answer.text)
            statuses.append(answer.status_code)
            if method == "POST" and path == "/schedules":
                schedule_id = answer.json()["id"]
        assert statuses == [200, 201, 200, 200, 200, 200, 202, 200, 204]
    finally:
        del KINDS["tasks.digest"], HANDLERS["tasks.digest"]


def test_the_page_names_every_outcome():
    from app.models.schedule import RUN_OUTCOMES

    assert re.findall(r"^\| `(\w+)` \| ", PAGE.partition("| Outcome")[2], re.MULTILINE) == list(RUN_OUTCOMES)
