from __future__ import annotations

import asyncio
import json
import logging as standard
import subprocess
import sys
from typing import Any

import pytest
import structlog

from app.infra import logging


@pytest.fixture(autouse=True)
def configured() -> None:
    logging.configure("INFO", "json")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_event_is_one_line_of_json_with_time_and_level_first(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger().info("something_happened", text='two\nlines and "quotes"', number=3)
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    event = json.loads(output)
    assert list(event)[:3] == ["timestamp", "level", "event"]
    assert event["text"] == 'two\nlines and "quotes"'


def test_the_standard_librarys_records_take_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    standard.getLogger("elsewhere").warning("told %s", "so")
    (event,) = lines(capsys)
    assert (event["event"], event["level"], event["logger"]) == ("told so", "warning", "elsewhere")


@pytest.mark.parametrize("value", ["\ud800", b"\xff", float("nan"), object(), {1: "x"}, ValueError("x"), {"a", "b"}])
def test_whatever_is_logged_is_valid_json(capsys: pytest.CaptureFixture[str], value: object) -> None:
    structlog.get_logger().info("odd", value=value)
    (event,) = lines(capsys)
    assert event["event"] == "odd"


def test_an_exception_is_a_field_without_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    local = "hunter" + "2"
    try:
        {}[len(local)]
    except KeyError:
        structlog.get_logger().exception("broken")
    (event,) = lines(capsys)
    assert "KeyError: 7" in event["exception"]
    assert "hunter2" not in event["exception"]


async def test_bound_fields_are_on_every_event_of_the_task_and_its_children(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = structlog.get_logger()
    token = logging.bind(request_id="r1", trace_id="t1", span_id="s1")

    async def child() -> None:
        logging.bind(job_id="j1")
        log.info("inside")

    await asyncio.create_task(child())
    standard.getLogger("library").info("beside")
    assert (logging.trace_id(), logging.traceparent()) == ("t1", "00-t1-s1-01")
    logging.unbind(token)
    log.info("after")
    inside, beside, after = lines(capsys)
    assert (inside["request_id"], inside["job_id"]) == ("r1", "j1")
    assert beside["request_id"] == "r1"
    assert "job_id" not in beside
    assert "request_id" not in after
    assert logging.traceparent() is None


SECRET = "hunter2-Zz9"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "fields",
    [
        {"password": SECRET},
        {"new_password": SECRET},
        {"secret_key": SECRET} | {"X-Api-Key": SECRET},
        {"headers": {"Authorization": SECRET, "cookie": SECRET}},
        {"nested": [{"deep": {"refresh_token": SECRET}}]},
        {"body": json.dumps({"password": SECRET})},
        {"message": f"login with password={SECRET} failed"},
        {"message": f"DSN postgresql://app:{SECRET}@db:5432/x and redis://:{SECRET}@cache/0"},
        {"message": f"Authorization: Bearer {SECRET}"},
        {"message": f"authorization={SECRET}"},
        {"message": str({"old_password": SECRET, "b": 1})},
        {"message": f"the secret: {SECRET}"},
        {"message": f"basic {SECRET}"},
        {"message": f"got {TOKEN}", "value": TOKEN},
        {"message": "sent rt_" + "A" * 40},
        {"quoted": json.dumps({"password": f'a"b{SECRET}'})},
    ],
)
def test_secrets_are_hidden_by_the_name_and_by_the_look(
    capsys: pytest.CaptureFixture[str], fields: dict[str, Any]
) -> None:
    structlog.get_logger().info("event", before="kept", **fields, zz_after="kept too")
    output = capsys.readouterr().out
    assert SECRET not in output
    assert TOKEN not in output
    assert "rt_AAAA" not in output
    event = json.loads(output)
    assert "[redacted]" in output
    assert (event["before"], event["zz_after"]) == ("kept", "kept too")


def test_secrets_in_a_traceback_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        int(f"postgresql://app:{SECRET}@db/x")
    except ValueError:
        structlog.get_logger().exception("broken")
    output = capsys.readouterr().out
    assert SECRET not in output
    assert "db/x" in output


def test_ordinary_fields_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger().info("request", path="/auth/password/forgot", url="https://example.com/a@b", tokens=3)
    (event,) = lines(capsys)
    assert event["path"] == "/auth/password/forgot"
    assert event["url"] == "https://example.com/a@b"
    assert event["tokens"] == 3


@pytest.mark.parametrize(("style", "level"), [("json", "INFO"), ("console", "DEBUG")])
def test_each_style_and_level_works_in_a_process_of_its_own(style: str, level: str) -> None:
    program = f"""
import structlog
from app.infra import logging
logging.configure({level!r}, {style!r})
log = structlog.get_logger()
log.debug("quiet")
log.error("loud", password="hunter2-Zz9")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ("quiet" in done.stdout) == (level == "DEBUG")
    assert "loud" in done.stdout
    assert SECRET not in done.stdout
    assert done.stderr == ""


def test_a_closed_pipe_does_not_break_the_program() -> None:
    program = "import structlog\nfrom app.infra import logging\nlogging.configure('INFO', 'json')\n"
    program += "import sys\nsys.stdout.close()\nstructlog.get_logger().info('x')\nsys.stderr.write('went on')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "went on"
