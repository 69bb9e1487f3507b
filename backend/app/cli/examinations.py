"""What `taskapi doctor` looks at. Each examination yields what it finds, and never raises."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import asyncpg
from cryptography import x509
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.health.service import LOW_DISK, PROOF_MAX_AGE
from app.infra import migrations, smtp
from app.infra.redis import QUEUE_POLICY, Redis
from app.infra.statements import Statement
from app.infra.storage import Storage
from app.kit.clock import utc_now
from app.kit.errors import AppError
from app.recovery import programs
from app.recovery.errors import BackupError
from app.recovery.state import backup_state
from app.recovery.vault import Vault
from app.worker.figures import queue_figures
from app.worker.line import Line
from app.worker.presence import processes
from app.worker.proof import last_proof

if TYPE_CHECKING:
    from datetime import datetime

    from pydantic import PostgresDsn

    from app.infra.settings import Settings

OLDEST, NEWEST = 15, 18
"""Major versions of PostgreSQL that the product is tried with."""
WORRYING_SKEW, WRONG_SKEW = 1.0, 30.0
"""Seconds between two clocks: beyond the second, fresh access tokens are refused."""
LONG_WAIT = 300.0
EXPIRES_SOON = timedelta(days=14)
BACKUP_MAX_AGE = timedelta(hours=26)
"""One is made each night, and may take its time: the limit of the alert BackupTooOld."""
_API_BESIDE_POOLS = 2  # health, figures
_POOL_PROCESS = 6  # claims, heartbeat, a pool of two and another
_WORKER_BESIDE = 1  # its reconciler

_SERVER = Statement(
    text("""
    SELECT CAST(current_setting('server_version_num') AS integer) / 10000 AS major,
        current_setting('server_version') AS version, current_setting('server_encoding') AS encoding,
        current_setting('TimeZone') AS time_zone, current_setting('fsync') = 'on' AS durable,
        CAST(current_setting('max_connections') AS integer)
            - CAST(current_setting('superuser_reserved_connections') AS integer) AS connections,
        ARRAY(SELECT CAST(name AS text) FROM pg_available_extensions) AS extensions,
        CAST(extract(epoch FROM clock_timestamp()) AS float8) AS now
""")
)
_EXTENSIONS = frozenset({"pg_trgm", "unaccent"})
"""Those that the schema needs."""


@dataclass(frozen=True, slots=True)
class Finding:
    part: str
    level: Literal["ok", "warning", "fault", "skipped"]
    found: str
    todo: str | None = None
    """What to change; for everything that is not well."""


@dataclass(frozen=True, slots=True)
class Installation:
    """How many processes there are to be, and what else the settings do not say."""

    apis: int
    workers: int
    beats: int
    certificate: Path | None


Findings = AsyncIterator[Finding]


async def settings_(settings: Settings) -> Findings:
    problems = settings.problems()
    for problem in problems:
        name, _, todo = problem.partition(": ")
        yield Finding("settings", "fault", f"{name} is unsafe", todo)
    if (
        settings.environment == "production"
        and settings.public_url == type(settings).model_fields["public_url"].default
    ):
        yield Finding("settings", "warning", f"links in mail lead to {settings.public_url}", "set PUBLIC_URL")
    if not problems:
        yield Finding("settings", "ok", f"nothing unsafe ({settings.environment})")


async def database(settings: Settings, installation: Installation) -> Findings:
    where = _where(settings.database_url)
    line = Line(settings, "doctor")
    try:
        began = time.perf_counter()
        await line.fetch(_SERVER, {})
        first = time.perf_counter() - began
        asked, began = time.time(), time.perf_counter()
        server = (await line.fetch(_SERVER, {}))[0]
        took = time.perf_counter() - began
    except Exception as error:  # noqa: BLE001  every one of them is a finding
        yield _unreachable(error, settings.database_url, "DATABASE_URL")
        return
    finally:
        line.close()
    yield Finding("database", "ok", f"{where} connects in {first * 1000:.0f} ms, answers in {took * 1000:.1f} ms")
    for finding in _judge_server(server, settings):
        yield finding
    yield _judge_clock(server["now"] - (asked + took / 2))
    yield _judge_connections(server["connections"], settings, installation)
    yield await _schema(settings)


def _where(url: PostgresDsn) -> str:
    host = url.hosts()[0]
    return f"{host['host']}:{host['port'] or 5432}"


def _unreachable(error: BaseException, url: PostgresDsn, setting: str) -> Finding:
    where, name = _where(url), (url.path or "").lstrip("/")
    match error:
        case asyncpg.InvalidCatalogNameError():
            found, todo = f"{where} has no database {name!r}", f"correct the name in {setting}, or create it"
        case asyncpg.InvalidAuthorizationSpecificationError():
            found, todo = f"{where} refuses the sign-in", f"correct the user or the password in {setting}"
        case asyncpg.TooManyConnectionsError():
            found, todo = f"{where} has no connection left", "raise max_connections, or see who holds them"
        case asyncpg.CannotConnectNowError():
            found, todo = f"{where} is starting or stopping", "wait for it"
        case socket.gaierror():
            found, todo = f"the name in {where} has no address", f"correct the host in {setting}"
        case _:
            found = f"{where} does not answer ({type(error).__name__})"
            todo = f"start PostgreSQL, or correct host and port in {setting}"
    return Finding("database", "fault", found, todo)


def _judge_server(server: Any, settings: Settings) -> list[Finding]:
    version = f"PostgreSQL {server['version']}"
    findings = []
    if server["major"] < OLDEST:
        findings.append(Finding("database", "fault", f"{version} is too old", f"use PostgreSQL {OLDEST} to {NEWEST}"))
    elif server["major"] > NEWEST:
        findings.append(Finding("database", "warning", f"{version} was not tried", f"known: {OLDEST} to {NEWEST}"))
    if server["encoding"] != "UTF8":
        todo = "create the database with ENCODING 'UTF8'"
        findings.append(Finding("database", "fault", f"the encoding is {server['encoding']}", todo))
    if server["time_zone"] != "UTC":
        found = f"the session is in {server['time_zone']}, though it asked for UTC"
        findings.append(Finding("database", "fault", found, "let the pooler pass the settings of a session"))
    if lacking := sorted(_EXTENSIONS - set(server["extensions"])):
        todo = "install PostgreSQL's contrib package on the server"
        findings.append(Finding("database", "fault", f"no extension {', '.join(lacking)}", todo))
    if settings.environment == "production" and not server["durable"]:
        todo = "set fsync = on: a power cut loses what was acknowledged"
        findings.append(Finding("database", "warning", "fsync is off", todo))
    return findings or [Finding("database", "ok", f"{version}, UTF8, UTC")]


def _judge_clock(skew: float) -> Finding:
    found = f"this machine is {abs(skew):.1f} s {'behind' if skew > 0 else 'ahead of'} PostgreSQL"
    if abs(skew) < WORRYING_SKEW:
        return Finding("clock", "ok", found)
    return Finding("clock", "fault" if abs(skew) > WRONG_SKEW else "warning", found, "set the clocks by NTP")


def _judge_connections(allowed: int, settings: Settings, installation: Installation) -> Finding:
    """Rule: what all processes may take at once is at most what the server allows."""
    of_api = settings.database_pool_size + settings.database_session_pool_size + _API_BESIDE_POOLS
    of_worker = settings.worker_concurrency * _POOL_PROCESS + _WORKER_BESIDE
    needed = installation.apis * of_api + installation.workers * of_worker + installation.beats
    sums = f"{installation.apis} apis x {of_api} + {installation.workers} workers x {of_worker} + {installation.beats} beats"
    if needed <= allowed:
        return Finding("database", "ok", f"{sums} = {needed} connections of {allowed}")
    todo = f"raise max_connections to {needed + 10}, or lower DATABASE_POOL_SIZE and DATABASE_SESSION_POOL_SIZE"
    return Finding("database", "fault", f"{sums} = {needed} connections, {allowed} are allowed", todo)


async def _schema(settings: Settings) -> Finding:
    try:
        standing = await migrations.standing(settings.direct_url)
    except (OSError, DBAPIError) as error:
        cause = getattr(getattr(error, "orig", None), "__cause__", None) or error  # what asyncpg said
        return _unreachable(cause, settings.database_direct_url or settings.database_url, settings.direct_setting)
    if standing.usable:
        return Finding("schema", "ok", standing.line)
    found, _, todo = standing.line.rpartition(": ")
    return Finding("schema", "fault", found, todo)


async def redis(settings: Settings) -> Findings:
    door = Redis(settings)
    host = settings.redis_url.hosts()[0]
    where = f"{host['host']}:{host['port'] or 6379}" if host["host"] else settings.redis_url.path
    try:
        figures = await door.figures()
        persistent = (await door.execute("INFO", "persistence"))["aof_enabled"] == 1
    except AppError as error:
        reason = type(error.__cause__).__name__
        todo = "correct the password in REDIS_URL" if "Auth" in reason else "start Redis, or correct REDIS_URL"
        yield Finding("redis", "fault", f"{where} does not answer ({reason})", todo)
        return
    finally:
        await door.stop()
    yield Finding("redis", "ok", f"{where} answers in {figures['ping_ms']} ms, version {figures['version']}")
    if (policy := figures["maxmemory_policy"]) != QUEUE_POLICY:
        todo = f"set maxmemory-policy {QUEUE_POLICY}: any other deletes messages when the memory is full"
        yield Finding("redis", "fault", f"maxmemory-policy is {policy}", todo)
    if not persistent:
        todo = "set appendonly yes: after a restart jobs begin seconds later, and rate limits count anew"
        yield Finding("redis", "warning", "there is no append-only file", todo)


async def storage(settings: Settings) -> Findings:
    where = str(settings.storage_url or Path(settings.storage_dir).absolute())  # noqa: ASYNC240  it asks no disk
    try:
        Storage(settings).probe()
    except Exception as error:  # noqa: BLE001  every one of them is a finding
        todo = "correct STORAGE_URL and the provider's variables"
        if settings.storage_url is None:
            todo = f"let user {os.getuid()} write there, or set STORAGE_DIR"
        yield Finding("storage", "fault", f"{where} cannot be written ({type(error).__name__})", todo)
        return
    if settings.storage_url is not None:
        yield Finding("storage", "ok", f"{where} can be written")
        return
    usage = shutil.disk_usage(where)
    found = f"{where} can be written, {usage.free / 2**30:.1f} GiB free ({usage.free / usage.total:.0%})"
    low = usage.free / usage.total < LOW_DISK
    yield Finding("storage", "warning" if low else "ok", found, "make room, or a larger volume" if low else None)


async def mail(settings: Settings) -> Findings:
    if settings.smtp_host is None:
        found = f"messages become files in {Path(settings.storage_dir, 'mail')}"
        production = settings.environment == "production"
        yield Finding("mail", "warning" if production else "ok", found, "set SMTP_HOST" if production else None)
        return
    where = f"{settings.smtp_host}:{settings.smtp_port}"
    try:
        async with asyncio.timeout(10):
            await smtp.greet(settings)
    except (smtp.MailFailed, TimeoutError) as error:
        todo = "correct SMTP_HOST, SMTP_PORT, SMTP_STARTTLS, SMTP_USERNAME or SMTP_PASSWORD"
        yield Finding("mail", "fault", f"{where}: {error or 'no answer'}", todo)
    else:
        yield Finding("mail", "ok", f"{where} takes us")


async def backups(settings: Settings) -> Findings:
    """How old the newest is; and where the place and the programs for them are to be, whether they are."""
    line = Line(settings, "doctor")
    try:
        taken_at = (await backup_state(line.fetch)).taken_at
        major = (await line.fetch(_SERVER, {}))[0]["major"]
    except Exception as error:  # noqa: BLE001  the examination of the database says more
        yield Finding("backups", "skipped", f"how old the newest is, is not known ({type(error).__name__})")
        return
    finally:
        line.close()
    yield _judge_backups(settings, taken_at)
    if settings.backup_url is None:
        return
    if os.environ.get("PROCESS_ROLE") in {"api", "beat"}:  # need not have the folder, nor the way out
        yield Finding("backups", "skipped", "BACKUP_URL is examined where a worker runs")
        return
    try:
        Vault(settings).probe()
        programs.require(major)
    except BackupError as error:
        found, _, todo = str(error).rpartition(": ")
        yield Finding("backups", "fault", found, f"{todo}, or build the image with --build-arg POSTGRES={major}")
    except Exception as error:  # noqa: BLE001  every one of them is a finding
        found = f"{settings.backup_url} cannot be written ({type(error).__name__})"
        yield Finding("backups", "fault", found, f"let user {os.getuid()} write there, or correct BACKUP_URL")
    else:
        yield Finding("backups", "ok", f"{settings.backup_url} can be written")


def _judge_backups(settings: Settings, taken_at: datetime | None) -> Finding:
    if taken_at is None and settings.backup_url is None:
        level: Literal["ok", "warning"] = "warning" if settings.environment == "production" else "ok"
        todo = "set BACKUP_URL: docs/operations/recovery.md" if level == "warning" else None
        return Finding("backups", level, "none is known, and BACKUP_URL is not set", todo)
    if taken_at is None:
        return Finding("backups", "warning", "none is known", "make one: taskapi backup create")
    age = utc_now() - taken_at
    found = f"the newest is {age / timedelta(hours=1):.0f} h old"
    if age <= BACKUP_MAX_AGE:
        return Finding("backups", "ok", found)
    return Finding("backups", "warning", found, "see docs/operations/runbooks/backups.md")


async def certificate(installation: Installation) -> Findings:
    path = installation.certificate
    if path is None:
        return
    try:
        ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except OSError as error:
        todo = f"let user {os.getuid()} read it, or correct the path"
        yield Finding("certificate", "fault", f"{path} cannot be read ({type(error).__name__})", todo)
    except ValueError:
        yield Finding("certificate", "fault", f"{path} is not a certificate", "it must be PEM, the server's own first")
    else:
        left = ends - utc_now()
        found = f"{path} ends on {ends:%Y-%m-%d}, {'in' if left.days >= 0 else 'since'} {abs(left.days)} days"
        level: Literal["ok", "warning", "fault"] = (
            "fault" if left.days < 0 else "ok" if left > EXPIRES_SOON else "warning"
        )
        yield Finding("certificate", level, found, None if level == "ok" else "renew it")


async def work(settings: Settings) -> Findings:
    """Workers, beats and queues, by what they did."""
    line = Line(settings, "doctor")
    try:
        proof = await last_proof(line)
        alive = [one for one in await processes(line.fetch) if one["alive"]]
        queues = await queue_figures(line.fetch)
    except Exception as error:  # noqa: BLE001  the examination of the database says more
        yield Finding("work", "skipped", f"workers, beats and queues are not known ({type(error).__name__})")
        return
    finally:
        line.close()
    for role, age in (("worker", proof.workers), ("beat", proof.beat)):
        count = sum(one["role"] == role for one in alive)
        word = f"{count} alive, " + (
            f"the last proof of work is {age:.0f} s old" if age is not None else "no proof of work"
        )
        if count and age is not None and age <= PROOF_MAX_AGE:
            yield Finding(f"{role}s", "ok", word)
        else:
            yield Finding(f"{role}s", "fault", word, f"start one (taskapi {role}), or see its log")
    for finding in _judge_queues(queues):
        yield finding


def _judge_queues(queues: list[dict[str, Any]]) -> list[Finding]:
    findings = []
    for queue in queues:
        name, waited = queue["queue"], queue["oldest_waiting_seconds"] or 0.0
        if queue["paused_at"] is not None:
            findings.append(
                Finding("queues", "warning", f"{name} is paused", "POST /admin/jobs/resume, when it may go on")
            )
        elif waited > LONG_WAIT:
            todo = f"a worker more, or one with {name} in WORKER_QUEUES"
            findings.append(Finding("queues", "warning", f"a job in {name} has waited for {waited:.0f} s", todo))
        if queue["parked"]:
            todo = "start workers of the release that knows them"
            findings.append(
                Finding("queues", "warning", f"{queue['parked']} jobs in {name} are known to no worker", todo)
            )
    waiting = sum(queue["waiting"] for queue in queues)
    oldest = max((queue["oldest_waiting_seconds"] or 0.0 for queue in queues), default=0.0)
    return findings or [Finding("queues", "ok", f"{waiting} jobs wait, the oldest for {oldest:.0f} s")]
