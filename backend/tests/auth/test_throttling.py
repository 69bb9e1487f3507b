"""Guessing passwords: one account from many addresses, many accounts from one address, and the ways around."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import count, repeat

import httpx2
import pytest
from sqlalchemy import text

WRONG = "not the right password"


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"rate_limit_scale": 1.0, "trusted_proxies": ["10.0.0.1"]})


@pytest.fixture
async def account(sign_up):
    return await sign_up("victim@example.com")


@asynccontextmanager
async def at(app, address):
    """A client at an address of its own."""
    transport = httpx2.ASGITransport(app=app, client=(address, 4711))
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield client


async def guess(app, username, password=WRONG, *, address, **headers):
    async with at(app, address) as client:
        return await client.post("/auth/login", data={"username": username, "password": password}, headers=headers)


async def lock(app, username, addresses):
    """Uses up the free failures; the eleventh try shows that the account is blocked."""
    answers = [await guess(app, username, address=next(addresses)) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    return answers[-1]


@pytest.fixture
def addresses():
    return (f"203.0.{n // 250}.{n % 250}" for n in count(1))


async def pass_time(database, seconds):
    async with database.transaction() as session:
        statement = text("UPDATE login_failures SET blocked_until = blocked_until - make_interval(secs => :seconds)")
        await session.execute(statement, {"seconds": seconds})


async def failures_of(database):
    async with database.session() as session:
        return (await session.execute(text("SELECT failures FROM login_failures ORDER BY failures"))).scalars().all()


async def test_an_account_is_blocked_after_ten_failures_wherever_they_come_from(app, account, addresses):
    blocked = await lock(app, account.email, addresses)
    assert blocked.json()["code"] == "too_many_failures"
    assert 25 <= int(blocked.headers["retry-after"]) <= 30
    for _ in range(20):
        assert (await guess(app, account.email, address=next(addresses))).status_code == 429
    assert (await guess(app, account.email, account.password, address=next(addresses))).status_code == 429


async def test_an_address_without_an_account_is_blocked_just_the_same(app, account, addresses):
    known = await lock(app, account.email, addresses)
    unknown = await lock(app, "nobody@example.com", addresses)
    assert {**known.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}
    assert known.headers.keys() == unknown.headers.keys()


@pytest.mark.parametrize(
    "username",
    [
        "VICTIM@example.com",
        " victim@example.com ",
        "\uff56\uff49\uff43\uff54\uff49\uff4d@example.com",
        "victim+tag@example.com",
        "Victim@EXAMPLE.com",
    ],
)
async def test_another_spelling_of_the_address_does_not_help(app, account, addresses, username):
    await lock(app, account.email, addresses)
    assert (await guess(app, username, address=next(addresses))).status_code == 429


async def test_losing_redis_forgives_nothing(app, account, addresses):
    await lock(app, account.email, addresses)
    await app.state.redis.execute("FLUSHDB")
    assert (await guess(app, account.email, address=next(addresses))).status_code == 429
    await app.state.redis.stop()
    assert (await guess(app, account.email, address=next(addresses))).status_code == 429


async def test_each_further_failure_doubles_the_wait(app, account, addresses, database):
    await lock(app, account.email, addresses)
    for wait in (30, 60, 120, 240, 480):
        await pass_time(database, wait)
        assert (await guess(app, account.email, address=next(addresses))).status_code == 401
        blocked = await guess(app, account.email, address=next(addresses))
        assert wait * 2 - 5 <= int(blocked.headers["retry-after"]) <= wait * 2


async def test_the_owner_signs_in_after_the_short_wait_and_starts_afresh(app, account, addresses, database):
    await lock(app, account.email, addresses)
    await pass_time(database, 30)
    assert (await guess(app, account.email, account.password, address=next(addresses))).status_code == 200
    assert await failures_of(database) == []
    await lock(app, account.email, addresses)


async def test_the_owner_signs_in_from_a_known_address_while_strangers_are_blocked(app, account, addresses, database):
    await lock(app, account.email, addresses)
    assert (await guess(app, account.email, account.password, address="127.0.0.1")).status_code == 200
    assert (await guess(app, account.email, address=next(addresses))).status_code == 429


async def test_a_known_address_has_ten_failures_of_its_own(app, account, addresses):
    await lock(app, account.email, repeat("127.0.0.1"))
    assert (await guess(app, account.email, account.password, address=next(addresses))).status_code == 200


async def test_guesses_made_at_once_reveal_no_more_than_guesses_in_a_row(app, account, addresses, database):
    app.state.settings.database_deadline = 60.0  # on a busy machine so many hashes take their time
    tries = [guess(app, account.email, address=next(addresses)) for _ in range(25)]
    tries.append(guess(app, account.email, account.password, address=next(addresses)))
    *wrong, right = await asyncio.gather(*tries)
    refused = [answer.status_code for answer in wrong]
    if right.status_code == 200:
        # It came before ten had failed, and those who had are forgiven.
        assert refused.count(401) <= 9 + 10
        return
    assert refused.count(401) <= 10
    assert right.status_code == 429
    assert max(await failures_of(database)) == 10


async def test_signing_in_to_a_neighbouring_account_forgives_no_failures(app, account, addresses, sign_up, database):
    neighbour = await sign_up("victim+mine@example.com")
    for _ in range(9):
        await guess(app, account.email, address=next(addresses))
    assert (await guess(app, neighbour.email, neighbour.password, address=next(addresses))).status_code == 200
    assert await failures_of(database) == [9]


async def test_wrong_current_passwords_count_as_failures(app, client, account):
    body = {"current_password": WRONG, "new_password": "another long password"}
    statuses = [
        (await client.post("/auth/me/password", json=body, headers=account.headers)).status_code for _ in range(11)
    ]
    assert statuses == [422] * 10 + [429]
    right = {**body, "current_password": account.password}
    assert (await client.post("/auth/me/password", json=right, headers=account.headers)).status_code == 429


async def test_one_address_gets_thirty_tries_a_minute_however_many_accounts_it_tries(app):
    answers = [await guess(app, f"user{n}@example.com", address="198.51.100.7") for n in range(35)]
    assert [answer.status_code for answer in answers] == [401] * 30 + [429] * 5
    assert answers[-1].json()["code"] == "rate_limited"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert (await guess(app, "user@example.com", address="198.51.100.8")).status_code == 401


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP"]
)
async def test_an_address_that_the_client_invents_does_not_help(app, header):
    for n in range(30):
        await guess(app, f"u{n}@example.com", address="198.51.100.7", **{header: f"192.0.2.{n}"})
    more = await guess(app, "u@example.com", address="198.51.100.7", **{header: "192.0.2.99"})
    assert more.status_code == 429


async def test_behind_a_trusted_proxy_the_nearest_untrusted_address_counts(app):
    async def through_proxy(invented, real):
        forwarded = {"X-Forwarded-For": f"{invented}, {real}"}
        return (await guess(app, "u@example.com", address="10.0.0.1", **forwarded)).status_code

    for n in range(30):
        await through_proxy(f"192.0.2.{n}", "198.51.100.7")
    assert await through_proxy("192.0.2.99", "198.51.100.7") == 429
    async with app.state.database.transaction() as session:
        await session.execute(text("DELETE FROM login_failures"))
    assert await through_proxy("192.0.2.99", "198.51.100.8") == 401


async def test_an_ipv6_network_of_one_customer_is_one_address(app):
    for n in range(30):
        await guess(app, f"u{n}@example.com", address=f"2001:db8:1:2:{n:x}::1")
    assert (await guess(app, "u@example.com", address="2001:db8:1:2:ffff::1")).status_code == 429
    assert (await guess(app, "u@example.com", address="2001:db8:1:3::1")).status_code == 401


async def test_without_redis_each_process_counts_for_itself(app):
    await app.state.redis.stop()
    app.state.redis.breaker._failed = 99
    app.state.redis.breaker._closed_again = float("inf")
    answers = [await guess(app, f"user{n}@example.com", address="198.51.100.7") for n in range(32)]
    assert [answer.status_code for answer in answers] == [401] * 30 + [429] * 2


async def test_registering_is_limited_too(app):
    async with at(app, "198.51.100.7") as client:
        body = {"email": "not an address", "password": "x"}
        statuses = [(await client.post("/auth/register", json=body)).status_code for _ in range(32)]
    assert statuses == [422] * 30 + [429] * 2


async def test_every_answer_of_a_limited_route_says_what_is_left(app, account):
    async with at(app, "198.51.100.7") as client:
        form = {"username": account.email, "password": account.password}
        good = await client.post("/auth/login", data=form)
        bad = await client.post("/auth/login", data={**form, "password": WRONG})
        malformed = await client.post("/auth/login", data={"username": account.email})
    assert [answer.status_code for answer in (good, bad, malformed)] == [200, 401, 422]
    for left, answer in zip((29, 28, 27), (good, bad, malformed), strict=True):
        assert answer.headers["ratelimit-policy"] == '"login";q=30;w=60'
        name, remaining, reset = answer.headers["ratelimit"].split(";")
        assert (name, remaining) == ('"login"', f"r={left}")
        assert 1 <= int(reset.removeprefix("t=")) <= 60


class TestAScale:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"rate_limit_scale": 0.1})

    async def test_multiplies_every_limit(self, app):
        answers = [await guess(app, f"u{n}@example.com", address="198.51.100.7") for n in range(5)]
        assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 2
        assert answers[0].headers["ratelimit-policy"] == '"login";q=3;w=60'
