"""What no operation takes is refused by each of them: found in the routes, so that a new one is tried as well."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from app.infra.database import Database
from app.models import Base
from tests.contract.conftest import MakeOwner, Owner
from tests.contract.operations import OPERATIONS, Operation, branches

MARK = "echoed51c3"
"""Stands in what is sent, and in no answer."""
JSON = "application/json"
MiB = 1 << 20
TAKING_JSON = [one for one in OPERATIONS if one.takes(JSON)]
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
TAKING_FORMS = [one for one in OPERATIONS if any(map(one.takes, FORMS))]
WITH_QUERY = [one for one in OPERATIONS if any(parameter["in"] == "query" for parameter in one.parameters)]
NUL = "\0" + MARK
SURROGATE = "\ud800" + MARK
NO_FIELD_TAKES = [
    *(json.dumps(value) for value in (NUL, SURROGATE, {"unknown": MARK}, [[MARK]], [NUL], [SURROGATE], {"\0": 1})),
    *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" + "0" * 400, "1" * 5000, "1_0", "01", "'a'", '"\\x"'),
]
NO_NUMBER_TAKES = ["true", '"3"', "1e18", "-1e18", str(2**63), str(-(2**63) - 1)]
NO_MOMENT_IS = [
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "1969-12-31T23:59:59Z", "10000-01-01T00:00:00Z"),
    *("2026-02-30T00:00:00Z", "2026-05-04T09:30:00", "2026-05-04T23:59:60Z", "2026-05-04", "1700000000", "1e18", ""),
    *("-2026-05-04T09:30:00Z", "2026-05-04T09:30:00+25:00", "now", "0.5"),
]


@dataclass(frozen=True)
class Attack:
    name: str
    body: bytes
    statuses: set[int]
    pointer: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


def with_field(body: dict[str, Any], name: str, raw: str) -> bytes:
    """The body with one more field, or another value of it, which need not be JSON."""
    rest = {key: value for key, value in body.items() if key != name}
    return (json.dumps(rest)[:-1] + (", " if rest else "") + json.dumps(name) + ": " + raw + "}").encode()


def hostile_fields(operation: Operation) -> Iterator[Attack]:
    body = operation.example
    for name, schema in operation.fields.items():
        bad = list(NO_FIELD_TAKES)
        forms = branches(schema)
        if any(one.get("type") in {"integer", "number"} for one in forms):
            bad += NO_NUMBER_TAKES
        if any(one.get("format") == "date-time" for one in forms):
            bad += [*map(json.dumps, NO_MOMENT_IS), "1700000000", "0.5", "1e18"]
        if any("maxLength" in one for one in forms):
            length = max(one.get("maxLength", 0) for one in forms) + 1
            bad.append(json.dumps((MARK * length)[:length]))
        if any("maxItems" in one for one in forms):
            bad.append(json.dumps([MARK] * 10_000))
        for raw in bad:
            yield Attack(f"{name}={raw[:40]}", with_field(body, name, raw), {400, 422}, f"/{name}")


def broken_bodies(operation: Operation) -> Iterator[Attack]:
    body = operation.example
    whole = json.dumps(body)
    first = next(iter(body or operation.fields))
    yield Attack("unknown field", with_field(body, "unknown", f'"{MARK}"'), {422}, "/unknown")
    yield Attack("is_superuser", with_field(body, "is_superuser", "true"), {422}, "/is_superuser")
    yield Attack("password_hash", with_field(body, "password_hash", f'"{MARK}"'), {422}, "/password_hash")
    yield Attack("duplicate key", (whole[:-1] + f', "{first}": "{MARK}"}}').encode(), {400})
    for depth in (21, 900, 200_000):
        for opened, closed in (("[", "]"), ('{"a":', "}")):
            nested = opened * depth + "1" + closed * depth
            yield Attack(f"{depth} deep", nested.encode(), {400, 413})
            yield Attack(f"{depth} deep in a field", with_field(body, first, nested), {400, 413})
            yield Attack(f"{depth} deep, never closed", (opened * depth).encode(), {400})
    keys = json.dumps({f"k{number}": 1 for number in range(60_000)})
    yield Attack("60,000 keys", keys.encode(), {400})
    yield Attack("2 MiB", with_field(body, first, f'"{MARK}{"a" * 2 * MiB}"'), {413})
    yield Attack("2 MiB of space", b" " * 2 * MiB, {413})
    for raw in (b"", b"null", b"[]", b'"' + MARK.encode() + b'"', b"1", b"true", b"{", b"[" + whole.encode() + b"]"):
        yield Attack(f"body {raw[:12]!r}", raw, {400, 422})
    for raw in (b"\xef\xbb\xbf" + whole.encode(), whole.encode("utf-16"), whole.encode("utf-32"), b'{"\xff\xfe": 1}'):
        yield Attack(f"bytes {raw[:6]!r}", raw, {400})
    yield Attack("two documents", (whole + whole).encode(), {400})
    yield Attack("a comment", (whole + " // " + MARK).encode(), {400})


def wrong_media(operation: Operation) -> Iterator[Attack]:
    whole = json.dumps(operation.example).encode()
    types = ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data", "nonsense"]
    charsets = [f"{JSON}; charset={name}" for name in ("utf-16", "latin-1", "bogus", MARK)]
    for media in [*types, *charsets, "multipart/form-data; boundary=x", "*/*", ""]:
        yield Attack(f"sent as {media}", whole, {415}, headers={"Content-Type": media})
    for coding in ("gzip", "br", "deflate, gzip", MARK):
        yield Attack(f"coded as {coding}", whole, {415}, headers={"Content-Encoding": coding})


@pytest.fixture
async def bob(make_owner: MakeOwner) -> Owner:
    # Who may use every route gets as far as its body.
    return await make_owner("bob@example.com", superuser=True)


async def rows(database: Database) -> dict[str, int]:
    async with database.session() as session:
        return {name: await session.scalar(text(f"SELECT count(*) FROM {name}")) for name in Base.metadata.tables}


def problem_of(answer: httpx2.Response, statuses: set[int], name: str) -> dict[str, Any]:
    """What every refusal is, whatever it refuses."""
    assert answer.status_code in statuses, (name, answer.status_code, answer.text[:500])
    assert answer.headers["Content-Type"] == "application/problem+json", name
    assert len(answer.content) <= 4096, name
    assert MARK not in answer.text, (name, answer.text)
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["code"], name
    assert "Traceback" not in answer.text
    return problem


async def attack(client: httpx2.AsyncClient, operation: Operation, bob: Owner, one: Attack) -> None:
    headers = {**bob.headers, "Content-Type": JSON, **one.headers}
    path = operation.path.format(**operation.words | bob.ids)
    answer = await client.request(operation.method, path, headers=headers, content=one.body)
    problem = problem_of(answer, one.statuses, one.name)
    if answer.status_code == 422 and one.pointer is not None:
        pointers = [error["pointer"] for error in problem["errors"]]
        assert any(pointer.startswith(one.pointer) for pointer in pointers), (one.name, pointers)


@pytest.mark.parametrize("attacks", [hostile_fields, broken_bodies, wrong_media])
async def test_a_bad_body_is_refused_and_leaves_nothing(
    subtests: pytest.Subtests, attacks: Any, client: httpx2.AsyncClient, bob: Owner, database: Database
) -> None:
    for operation in TAKING_JSON:
        with subtests.test(str(operation)):
            before = await rows(database)
            for one in attacks(operation):
                await attack(client, operation, bob, one)
            assert await rows(database) == before


async def test_a_body_without_a_length_is_cut_off_at_the_limit(
    subtests: pytest.Subtests, client: httpx2.AsyncClient, bob: Owner, database: Database
) -> None:
    for operation in TAKING_JSON:
        with subtests.test(str(operation)):
            before = await rows(database)
            sent = 0

            async def endless() -> AsyncIterator[bytes]:
                nonlocal sent
                for _ in range(64):
                    sent += MiB
                    yield b" " * MiB

            path = operation.path.format(**operation.words | bob.ids)
            headers = {**bob.headers, "Content-Type": JSON}
            answer = await client.request(operation.method, path, headers=headers, content=endless())
            problem_of(answer, {413}, "chunked")
            assert sent < 64 * MiB
            assert await rows(database) == before


async def test_an_unknown_query_parameter_is_refused(
    subtests: pytest.Subtests, client: httpx2.AsyncClient, bob: Owner, database: Database
) -> None:
    for operation in OPERATIONS:
        with subtests.test(str(operation)):
            before = await rows(database)
            path = operation.path.format(**operation.words | bob.ids)
            for query in (f"unknown={MARK}", "unknown=%00", "unknown=%ED%A0%80", f"{MARK}", f"%00{MARK}=1"):
                answer = await client.request(
                    operation.method, f"{path}?{query}", headers=bob.headers, json=operation.example
                )
                problem = problem_of(answer, {403, 422}, query)
                if answer.status_code == 422:
                    assert problem["errors"][0]["code"] == "unknown_parameter"
            assert await rows(database) == before


async def test_a_bad_query_parameter_is_refused(
    subtests: pytest.Subtests, client: httpx2.AsyncClient, bob: Owner, database: Database
) -> None:
    for operation in WITH_QUERY:
        with subtests.test(str(operation)):
            before = await rows(database)
            path = operation.path.format(**operation.words | bob.ids)
            for parameter in operation.parameters:
                if parameter["in"] != "query":
                    continue
                name, schema = parameter["name"], parameter["schema"]
                bad = [["\0" + MARK], ["9" * 8000]]
                if schema["type"] != "array":
                    bad.append(["1", "1"])
                leaf = schema.get("items", schema)
                numbers = ["10000000000000000000000", "1_0", "-1", "1e400", "NaN", " ", "", "on"]
                if leaf["type"] == "string" and not {"enum", "format", "anyOf"} & set(leaf):
                    numbers = [value for value in numbers if not re.search(leaf.get("pattern", ""), value)]
                bad += [[value] for value in numbers]
                if schema.get("format") == "date-time":
                    bad += [[moment] for moment in NO_MOMENT_IS]
                for values in bad:
                    query = [(name, value) for value in values]
                    answer = await client.request(operation.method, path, headers=bob.headers, params=query)
                    problem = problem_of(answer, {414, 422}, f"{query}"[:100])
                    if answer.status_code == 422:
                        assert all(error["pointer"].startswith(f"?{name}") for error in problem["errors"])
            assert await rows(database) == before


async def test_a_bad_body_counts_before_a_stale_version(
    subtests: pytest.Subtests, client: httpx2.AsyncClient, bob: Owner, database: Database
) -> None:
    before = await rows(database)
    conditional = [one for one in TAKING_JSON if "If-Match" in {parameter["name"] for parameter in one.parameters}]
    assert conditional
    for operation in conditional:
        with subtests.test(str(operation)):
            unknown = with_field(operation.example, "unknown", "1")
            for one in (Attack("unknown", unknown, {422}, "/unknown"), Attack("nothing", b"", {422})):
                await attack(client, operation, bob, replace(one, headers={"If-Match": '"999"'}))
            whole = json.dumps(operation.example).encode()
            await attack(client, operation, bob, Attack("stale", whole, {412}, headers={"If-Match": '"999"'}))
    assert await rows(database) == before


async def send_form(
    client: httpx2.AsyncClient, operation: Operation, bob: Owner, name: str, statuses: set[int], **request: Any
) -> None:
    headers = bob.headers | request.pop("headers", {})
    problem_of(
        await client.post(operation.path.format(**operation.words | bob.ids), headers=headers, **request),
        statuses,
        name,
    )


async def test_a_bad_form_is_refused_and_leaves_nothing(
    subtests: pytest.Subtests, client: httpx2.AsyncClient, bob: Owner, database: Database
) -> None:
    for operation in TAKING_FORMS:
        with subtests.test(str(operation)):
            before = await rows(database)
            file = {"file": ("tasks.txt", b"Buy milk\n")} if operation.takes("multipart/form-data") else None
            good = {} if file else {"username": bob.account.email, "password": bob.account.password}

            send = partial(send_form, client, operation, bob)
            await send("unknown field", {422}, files=file, data=good | {"unknown": MARK})
            await send("unknown query", {422}, files=file, data=good, params={"unknown": MARK})
            await send("as JSON", {415, 422}, json=good)
            await send("as text", {415, 422}, content=b"a=b", headers={"Content-Type": "text/plain"})
            await send("nothing", {415, 422})
            await send("no boundary", {400}, content=b"x", headers={"Content-Type": "multipart/form-data"})
            await send("coded", {415}, files=file, data=good, headers={"Content-Encoding": "gzip"})
            for name in operation.fields:
                if name == "file":
                    continue
                await send(f"NUL in {name}", {422}, files=file, data=good | {name: NUL})
                await send(f"long {name}", {413, 422}, files=file, data=good | {name: MARK * 60_000})
                await send(f"{name} twice", {422}, files=file, data=good | {name: [MARK, MARK]})
            many = "&".join(f"k{number}={MARK}" for number in range(100_000))
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            await send("100,000 fields", {400, 413, 415, 422}, content=many.encode(), headers=form)
            parts = "".join(
                f'--x\r\nContent-Disposition: form-data; name="k{number}"\r\n\r\n{MARK}\r\n' for number in range(10_000)
            )
            multipart = {"Content-Type": "multipart/form-data; boundary=x"}
            await send("10,000 parts", {400, 413, 415, 422}, content=(parts + "--x--\r\n").encode(), headers=multipart)
            await send("cut off", {400, 422}, content=b"--x\r\nContent-Disp", headers=multipart)
            assert await rows(database) == before


async def test_what_another_person_owns_cannot_be_referred_to(
    subtests: pytest.Subtests, client: httpx2.AsyncClient, bob: Owner, make_owner: MakeOwner, database: Database
) -> None:
    ada = await make_owner("ada@example.com")
    for operation in TAKING_JSON:
        with subtests.test(str(operation)):
            before = await rows(database)
            path = operation.path.format(**operation.words | bob.ids)
            nobodys = "01981f6e-5a3c-7d2e-9a41-3f6f0c9d8b21"
            for place, body in references(operation, ada):
                problems = []
                for sent in (body, json.loads(_replaced(body, ada, nobodys))):
                    answer = await client.request(operation.method, path, headers=bob.headers, json=sent)
                    problem = problem_of(answer, {404, 422}, place)
                    problem.pop("request_id")
                    problems.append(problem)
                assert problems[0] == problems[1], place
                assert ada.mark not in str(problems[0])
            assert await rows(database) == before


def _replaced(body: dict[str, Any], ada: Owner, other: str) -> str:
    raw = json.dumps(body)
    for one in _owned(ada).values():
        raw = raw.replace(one, other)
    return raw


def _owned(ada: Owner) -> dict[str, str]:
    people = {"assignee_id": str(ada.account.user_id), "workspace_id": str(ada.account.workspace_id)}
    return {**ada.ids, "parent_id": ada.ids["task_id"], **people}


def references(operation: Operation, ada: Owner) -> Iterator[tuple[str, dict[str, Any]]]:
    """The operation's bodies, each with one of Ada's ids in one of its places."""
    for name, schema in operation.fields.items():
        for place in branches(schema):
            items = branches(place.get("items", {}))[0]
            if place.get("format") == "uuid":
                yield name, {**operation.example, name: _owned(ada)[name]}
            elif items.get("format") == "uuid":
                one = ada.ids["task_id"] if name == "delete" else _owned(ada)[name.removesuffix("s")]
                yield name, {**operation.example, name: [one]}
            elif "properties" in items:
                yield from _references_in_entries(name, items, operation, ada)


def _references_in_entries(
    name: str, entry: dict[str, Any], operation: Operation, ada: Owner
) -> Iterator[tuple[str, dict[str, Any]]]:
    needed = {"title": "Buy milk"} if "title" in entry.get("required", ()) else {"id": ada.ids["task_id"]}
    if "id" in needed:
        yield f"{name}/id", {name: [{**needed, "title": "Buy milk"}]}
    else:
        for field_name, schema in entry["properties"].items():
            for place in branches(schema):
                if place.get("format") == "uuid":
                    yield f"{name}/{field_name}", {name: [{**needed, field_name: _owned(ada)[field_name]}]}


async def test_what_is_no_id_is_not_found(subtests: pytest.Subtests, client: httpx2.AsyncClient, bob: Owner) -> None:
    for operation in [one for one in OPERATIONS if one.ids]:
        with subtests.test(str(operation)):
            for word in (MARK, "%00", "1", str(2**63), "9" * 5000, "%ED%A0%80", "..%2f..%2fetc", "'%20OR%201=1--"):
                path = operation.path.format(**operation.words | dict.fromkeys(operation.ids, word))
                answer = await client.request(operation.method, path, headers=bob.headers, json=operation.example)
                # What is no id may be another route's word, such as /tasks/trash; that is a 405 then.
                problem_of(answer, {404, 405, 414}, word)


async def test_a_bad_idempotency_key_is_refused(
    subtests: pytest.Subtests, client: httpx2.AsyncClient, bob: Owner
) -> None:
    # The header has no effect on /auth/*.
    for operation in [one for one in TAKING_JSON if not one.path.startswith("/auth")]:
        with subtests.test(str(operation)):
            path = operation.path.format(**operation.words | bob.ids)
            for key in ("", "k" * 256, "a b", "é".encode("latin-1")):
                headers = [*bob.headers.items(), ("Idempotency-Key", key)]
                answer = await client.request(operation.method, path, headers=headers, json=operation.example)
                assert problem_of(answer, {400}, str(key))["code"] == "invalid_idempotency_key"
