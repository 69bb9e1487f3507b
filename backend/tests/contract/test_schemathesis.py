"""Schemathesis, all phases and all checks, as each of two people who are offered what the other owns."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import strategies as st
from schemathesis.checks import CHECKS
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from tests.conftest import PASSWORD
from tests.contract.conftest import MakeOwner, Owner

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "0"))
"""Of each operation, for each person. 0: the short run, whose coverage phase, the longest, one person does."""
SEED = int(os.environ.get("SCHEMATHESIS_SEED", "20260504"))
NOT_A_MATTER_OF_FORM = {
    "bulk_rejected",  # holds one of the others
    "empty_file",
    "empty_filter",  # one condition of many is needed
    "invalid_cursor",  # only the service can make one
    "int_type",  # 864.0 is an integer to JSON Schema, and not to us
    "invalid_cron",  # a language of its own, as is rrule
    "invalid_mapping",  # JSON in a form field
    "invalid_period",  # a day after another one
    "invalid_reference",  # no row has a random id
    "invalid_rrule",
    "kind_not_schedulable",  # which kinds there are is not part of the document
    "not_built_in",
    "not_found",  # nor of an entry of a bulk
    "one_rule",
    "out_of_range",  # ten years from now
    "password_common",
    "password_repetitive",
    "repeated_sort_key",
    "rule_never_fires",
    "unknown_file_format",  # the content of a file says what it is
    "wrong_password",
}
"""What is refused although it fits its schema, since no schema could say it: 422 with one of these codes."""

schemathesis.openapi.format("iana-time-zone", st.sampled_from(sorted(available_timezones() - {"localtime", "Factory"})))
schemathesis.openapi.format(
    "rfc5545-rrule",
    st.builds(
        "FREQ={};INTERVAL={}".format, st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]), st.integers(1, 99)
    ),
)


def _sign_in(name: str, owner: Owner) -> dict[str, Any]:
    """Signs in again after an operation has ended the session, in the words of Web Fuzzing Commons."""
    fields = {"username": owner.account.email, "password": PASSWORD}
    return {
        "name": name,
        "loginEndpointAuth": {
            "verb": "POST",
            "endpoint": "/auth/login",
            "contentType": "application/x-www-form-urlencoded",
            "payloadUserPwd": {**fields, "usernameField": "username", "passwordField": "password"},
            "token": {
                "extractFrom": "body",
                "extractSelector": "/access_token",
                "sendIn": "header",
                "sendName": "Authorization",
                "sendTemplate": "Bearer {token}",
            },
        },
    }


def _config(address: str, owners: dict[str, Owner], name: str, folder: Path) -> dict[str, Any]:
    people = folder / "people.json"
    people.write_text(json.dumps({"auth": [_sign_in(*pair) for pair in owners.items()]}))
    ids = {one: [owner.ids[one] for owner in owners.values()] for one in owners[name].ids}
    coverage = EXAMPLES > 0 or name == "ada"
    return {
        "base-url": address,
        "seed": SEED,
        "continue-on-failure": True,
        "auth": {"wfc": {"path": str(people), "user": name, "peers": list(owners)}},
        "dictionaries": {one: {"values": values} for one, values in ids.items()},
        "parameters": {f"path.{one}": {"dictionary": one, "probability": 0.5} for one in ids},
        "generation": {
            "mode": "all",
            "max-examples": EXAMPLES or 3,
            "deterministic": True,
            "no-shrink": True,
            "database": "none",
            "allow-x00": False,  # JSON Schema has no short word for it; test_bad_input.py sends NUL everywhere
        },
        "phases": {"coverage": {"enabled": coverage}},
        "checks": {
            # A random If-Match is of another version; an address or a body may be too long before it is anything else.
            "positive_data_acceptance": {"expected-statuses": ["2xx", "3xx", "401", "403", "404", "409", "412", "429"]},
            "negative_data_rejection": {
                "expected-statuses": ["400", "401", "403", "404", "405", "409", "413", "414", "415", "422", "429"]
            },
        },
    }


def _run(document: dict[str, Any], config: dict[str, Any]) -> tuple[list[str], set[str]]:
    """What failed, and the names of the checks that were not made. For a process of its own: it keeps a gigabyte."""
    failures, made = [], set()
    schema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig.from_dict(config))
    for event in from_schema(schema).execute():
        if isinstance(event, events.FatalError):
            raise event.exception
        if isinstance(event, events.NonFatalError):
            failures.append(f"{event.label}: {event.value!r}")
        if isinstance(event, events.ScenarioFinished):
            made |= {check.name for checks in event.recorder.checks.values() for check in checks}
            failures += _failures_of(event)
    return failures, set(CHECKS.get_all_names()) - made


def _failures_of(event: events.ScenarioFinished) -> Iterator[str]:
    for case_id, checks in event.recorder.checks.items():
        response = getattr(event.recorder.interactions.get(case_id), "response", None)
        body = b"" if response is None else response.content
        for check in checks:
            if check.failure_info is not None and not _is_beyond_form(check.name, body):
                failure, code = check.failure_info.failure, check.failure_info.code_sample
                yield f"{event.phase.name} {event.recorder.label} {check.name} {failure}\n{code}\n{body[:800]!r}\n"


def _is_beyond_form(check: str, body: bytes) -> bool:
    if check != "positive_data_acceptance":
        return False
    problem = json.loads(body)
    if "code" not in problem:
        return False
    # What the args of a job may be is the kind's affair.
    errors = [one for one in problem.get("errors", ()) if not one["pointer"].startswith("/args")]
    codes = {problem["code"], *(one["code"] for one in errors)} - {"validation_error"}
    return codes <= NOT_A_MATTER_OF_FORM


@pytest.mark.timeout(7200 if EXAMPLES else 600)
@pytest.mark.parametrize("name", ["ada", "bob"])
async def test_every_answer_fits_the_document(
    name: str, app: FastAPI, address: str, make_owner: MakeOwner, tmp_path: Path
) -> None:
    owners = {one: await make_owner(f"{one}@example.com") for one in ("ada", "bob")}
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as one:
        config = _config(address, owners, name, tmp_path)
        failures, not_made = await asyncio.get_running_loop().run_in_executor(one, _run, app.openapi(), config)
    assert not failures, "\n".join(failures)
    assert not not_made
