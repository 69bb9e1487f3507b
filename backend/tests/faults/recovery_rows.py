"""Losing everything: put back from a backup, and from an archive of PostgreSQL's log to a moment. The times are the drill's result."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import asyncpg

from app.infra.storage import Storage
from devstack.postgres import PostgresServer
from devstack.process import launch
from devstack.state import State
from tests.faults.trial import Trial, row
from tests.faults.world import World

ARCHIVE_SECONDS = 2
"""`archive_timeout` of the drill; what a lost disk may cost."""
_GUIDE = Path(__file__).parents[3] / "docs" / "operations" / "recovery.md"
_TASKS, _FILES, _FILE_BYTES = 20_000, 200, 100_000

_FILL = """
    INSERT INTO tasks (id, workspace_id, project_id, number, key, title, created_by)
    SELECT gen_random_uuid(), workspace_id, project_id, number + n, 'DRILL-' || n, 'task ' || n, created_by
    FROM tasks, generate_series(1, $1) AS n WHERE title = 'the first'
"""
_STORED = """
    INSERT INTO stored_files (id, workspace_id, storage_key, name, media_type, size, sha256)
    SELECT gen_random_uuid(), workspace_id, $1, 'drill', 'application/octet-stream', $2, $3 FROM tasks WHERE title = 'the first'
"""
_SUMS = "SELECT (SELECT count(*) FROM tasks), (SELECT sum(hashtext(t::text)::bigint) FROM tasks AS t), (SELECT count(*) FROM stored_files)"


@row(
    "backup",
    f"the schema with {_TASKS:,} tasks and {_FILES} files is backed up, dropped, and its files deleted; then put back",
    "the same rows and the same files; the proof says so too",
    rounds=3,
    unit="times",
)
async def lost_and_restored(trial: Trial) -> None:
    with tempfile.TemporaryDirectory(prefix="taskapi-backups-") as folder:
        async with trial.world(BACKUP_URL=f"file://{folder}", BACKUP_KEY=secrets.token_hex(32)) as world:
            await _fill(world)
            await world.sign_off()
            for number in range(trial.rounds):
                await _lose_and_restore(trial, world)
                trial.progress(number + 1)
            trial.note(f"{_TASKS} tasks, {_FILES} files of {_FILE_BYTES} bytes, encrypted, on one disk")


async def _fill(world: World) -> None:
    api = await world.api()
    (await api.client.post("/tasks", json={"title": "the first"})).raise_for_status()
    api.kill()
    await world.rows.execute(_FILL, _TASKS)

    async def content() -> AsyncIterator[bytes]:
        yield secrets.token_bytes(_FILE_BYTES)

    for _ in range(_FILES):
        stored = await Storage(world.settings).put(content())
        await world.rows.execute(_STORED, stored.key, stored.size, stored.sha256)


async def _lose_and_restore(trial: Trial, world: World) -> None:
    await _timed(trial, world, "backup", "create")
    before = await world.rows.fetchrow(_SUMS)
    await world.rows.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    shutil.rmtree(world.settings.storage_dir)
    await _timed(trial, world, "restore", "restore")
    trial.check(await world.rows.fetchrow(_SUMS) == before, "other rows than before")
    rows = await world.rows.fetch("SELECT storage_key, sha256 FROM stored_files")
    found = [sha256(await Storage(world.settings).get(row["storage_key"])).digest() for row in rows]
    trial.check(found == [row["sha256"] for row in rows], "other files than before")
    await _timed(trial, world, "proof", "verify")


async def _timed(trial: Trial, world: World, what: str, command: str) -> None:
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "app.cli", "backup", command, env=world.environment, cwd=world.directory,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    trial.check(process.returncode == 0, f"backup {command}: {said.decode()[-500:]}")
    trial.measure(what).append(time.monotonic() - began)


def archive_command(folder: str) -> str:
    """The one that operators are told to use."""
    told = re.search(r"^archive_command = '(.+)'$", _GUIDE.read_text(), re.MULTILINE)
    assert told is not None
    return told[1].replace("/archive/", f"{folder}/")


class ArchivingServer(PostgresServer):
    """Keeps its log in `archive`, beside its data; only what is there survives the loss of the data."""

    def prepare(self) -> None:
        super().prepare()
        settings = {
            "archive_mode": "on",
            "archive_command": archive_command("../archive"),
            "archive_timeout": str(ARCHIVE_SECONDS),
            "restore_command": "cp ../archive/%f %p",
            "hot_standby": "off",  # ready means: everything is put back
        }
        self.command += [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]

    def _initialise(self) -> None:
        super()._initialise()
        with (self.cwd / "pg_hba.conf").open("a") as rules:
            rules.write("host replication all 127.0.0.1/32 scram-sha-256\n")
        archive = self.cwd.parent / "archive"
        archive.mkdir(mode=0o700)
        if self.account:
            shutil.chown(archive, self.account)

    def base_backup(self) -> None:
        self._tool(
            "pg_basebackup",
            "--pgdata=base",
            "--checkpoint=fast",
            "--wal-method=stream",
            "--host=127.0.0.1",
            "--username=postgres",
            f"--port={self.port}",
        )

    def lose_data(self) -> None:
        self.force_stop()
        shutil.rmtree(self.cwd)

    def force_stop(self) -> None:
        if self._process:
            self._process.send_signal(self.force_signal)
            self._process.wait()

    def start_from_base(self, **recovery: str) -> None:
        """From the base backup, and what the archive has since; `recovery` says where to end."""
        shutil.move(self.cwd.parent / "base", self.cwd)
        (self.cwd / "recovery.signal").touch()
        with (self.cwd / "postgresql.auto.conf").open("a") as settings:
            settings.writelines(f"{name} = '{value}'\n" for name, value in recovery.items())
        self.start()

    def _tool(self, name: str, *options: str) -> None:
        command = launch([str(self.program.with_name(name)), *options], self.stop_signal, self.account)
        environment = self.env | {"PGPASSWORD": self.state.secret("postgres_password")}
        subprocess.run(command, cwd=self.cwd.parent, env=environment, check=True, capture_output=True)


@asynccontextmanager
async def _archiving() -> AsyncIterator[ArchivingServer]:
    with tempfile.TemporaryDirectory(prefix="taskapi-archive-") as folder:
        server = ArchivingServer(State(Path(folder)))
        try:
            server.start_on_free_port()
            yield server
        finally:
            server.stop(10)


async def _write(server: ArchivingServer, number: int) -> None:
    connection = await asyncpg.connect(server.url)
    await connection.execute("CREATE TABLE IF NOT EXISTS ledger (number int, at timestamptz DEFAULT clock_timestamp())")
    await connection.execute("INSERT INTO ledger SELECT generate_series($1::int, $1 + 99)", number)
    await connection.close()


async def _asked(server: ArchivingServer, query: str) -> object:
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@row(
    "pitr",
    "with the log archived: a table is dropped by mistake, and the database put back to the moment before; the disk of the data is lost",
    f"every row of before that moment and none of after it; of a lost disk, at most the last {ARCHIVE_SECONDS} s (`archive_timeout`) and a second",
    rounds=3,
    unit="times each",
)
async def to_a_moment(trial: Trial) -> None:
    for number in range(trial.rounds):
        await _mistake(trial)
        await _lost_disk(trial)
        trial.progress(number + 1)


async def _mistake(trial: Trial) -> None:
    async with _archiving() as server:
        await _write(server, 0)
        server.base_backup()
        await _write(server, 100)
        moment = await _asked(server, "SELECT clock_timestamp()::text")
        await _write(server, 200)
        await _asked(server, "SELECT count(*) FROM ledger")
        connection = await asyncpg.connect(server.url)
        await connection.execute("DROP TABLE ledger")
        await connection.close()
        server.stop(10)  # in order: what was not archived yet is archived now
        began = time.monotonic()
        shutil.rmtree(server.cwd)
        server.start_from_base(recovery_target_time=str(moment), recovery_target_action="promote")
        trial.measure("put back to a moment").append(time.monotonic() - began)
        found = await _asked(server, "SELECT count(*) || ' up to ' || max(number) FROM ledger")
        trial.check(found == "200 up to 199", f"{found} rows of 200 up to 199")
        await _write(server, 300)  # it serves again


async def _lost_disk(trial: Trial) -> None:
    async with _archiving() as server:
        await _write(server, 0)
        server.base_backup()
        last, until = 0, time.monotonic() + 3 * ARCHIVE_SECONDS
        while time.monotonic() < until:
            last += 100
            await _write(server, last)
            await asyncio.sleep(0.05)
        at = float(str(await _asked(server, "SELECT extract(epoch FROM max(at)) FROM ledger")))
        server.lose_data()
        began = time.monotonic()
        server.start_from_base(recovery_target_timeline="latest")
        trial.measure("put back to the end of the archive").append(time.monotonic() - began)
        left = float(str(await _asked(server, "SELECT extract(epoch FROM max(at)) FROM ledger")))
        trial.measure("seconds lost with the disk", p100=ARCHIVE_SECONDS + 1).append(at - left)
        numbers = await _asked(server, "SELECT count(*) = max(number) + 1 FROM ledger")
        trial.check(bool(numbers), "a row is missing among those before the end")
