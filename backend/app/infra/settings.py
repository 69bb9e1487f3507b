"""The one settings class. Every field is an environment variable of the same name in capitals."""

import os
import re
import secrets
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote

from pydantic import (
    AnyUrl,
    Field,
    PostgresDsn,
    SecretStr,
    UrlConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import MultiHostUrl
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.kit.schema import Email

REFUSED = 3
"""The exit code where the configuration cannot be used."""
SECRET_MIN_BYTES = 32
"""256 bits: RFC 7518 3.2 asks for a key as long as the hash of HS256."""
_EXAMPLES = re.compile("change|example|password|secret", re.IGNORECASE)
"""In keys that were copied from somewhere; `scripts/lib/checks.sh` knows them too."""

QUEUES = ("urgent", "default", "slow", "email", "images", "reports")
CHECKS = ("database", "redis", "redis_policy", "celery_workers", "celery_beat", "disk_space", "memory")
"""Those of the api's health."""

SECRETS = Path("/run/secrets")
"""Where engines put secrets: a file for each setting that has one, under its name in small letters."""

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SSL_FILES = frozenset({"sslrootcert", "sslcert", "sslkey", "sslcrl"})
_DATABASE_PARAMETERS = frozenset({"sslmode", "ssl_min_protocol_version", "ssl_max_protocol_version"}) | _SSL_FILES
"""Those of libpq's that an address may have (PostgreSQL, "Parameter Key Words"): the driver reads them itself."""

RedisUrl = Annotated[MultiHostUrl, UrlConstraints(allowed_schemes=["redis", "rediss", "unix"])]
CommaSeparated = Annotated[list[str], NoDecode]


def _is_weak(key: SecretStr) -> bool:
    value = key.get_secret_value()
    return len(value.encode()) < SECRET_MIN_BYTES or _EXAMPLES.search(value) is not None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _with_password(url: str, password: SecretStr | None) -> str:
    """The address with the password, where it has none of its own."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, _, host = authority.rpartition("@")
    if password is None or ":" in user:
        return url
    return f"{scheme}://{user}:{quote(password.get_secret_value(), safe='')}@{host}{slash}{path}"


class Settings(BaseSettings):
    """Read from the environment, then `.env`, then the files of `SECRETS`. Unsafe values refuse to start in production
    (`problems`).
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        case_sensitive=False,
        secrets_dir=SECRETS if SECRETS.is_dir() else None,
    )

    # The service
    environment: Literal["development", "staging", "production"] = Field(
        "development", description="Where this runs; `production` refuses unsafe settings."
    )
    secret_key: SecretStr = Field(
        default_factory=lambda: SecretStr(secrets.token_hex(SECRET_MIN_BYTES)),
        description="Signs tokens and cursors; at least 32 random bytes, the same on every process. Without one, outside "
        "of production, each process makes its own.",
    )
    previous_secret_keys: Annotated[list[SecretStr], NoDecode] = Field(
        [], description="Earlier keys, comma separated: tokens signed with them count until they expire."
    )
    build_commit: str = Field("unknown", description="The commit that the image was built from; shown by `/health`.")

    # HTTP
    host: str = Field("127.0.0.1", description="The address that the api listens on.")
    port: int = Field(8000, ge=0, le=65535, description="The port that the api listens on.")
    public_url: str = Field(
        "http://127.0.0.1:8000", description="How clients reach the service; links are made from it."
    )
    allowed_hosts: CommaSeparated = Field(
        ["localhost", "127.0.0.1"],
        description="Host names served, comma separated; the probes are exempt. Production wants them set.",
    )
    cors_origins: CommaSeparated = Field([], description="Origins that a browser may call from, comma separated.")
    cors_allow_credentials: bool = Field(False, description="Whether browsers may send credentials from those origins.")
    trusted_proxies: CommaSeparated = Field(
        [], description="Addresses or networks of proxies whose `X-Forwarded-For` counts, comma separated."
    )
    docs_enabled: bool = Field(True, description="Whether `/docs`, `/redoc` and `/openapi.json` are served.")
    max_body_bytes: int = Field(1_048_576, ge=1024, description="The largest JSON or form body, in bytes.")
    require_if_match: bool = Field(False, description="Whether a change without `If-Match` is refused with 428.")
    keepalive_timeout: int = Field(75, ge=1, description="Seconds an idle connection is kept; above the proxy's own.")
    max_connections: int = Field(1000, ge=1, description="Connections that one api process serves at once.")
    rate_limit_scale: float = Field(1.0, gt=0, description="Multiplies every rate limit.")

    # PostgreSQL
    database_url: PostgresDsn = Field(
        PostgresDsn("postgresql+asyncpg://taskapi@127.0.0.1:5432/taskapi"),
        description="Where PostgreSQL is. `?sslmode=verify-full&sslrootcert=/file.pem` asks for TLS as libpq understands it "
        "(`disable`, `allow`, `prefer`, which is the default, `require`, `verify-ca`, `verify-full`).",
    )
    database_direct_url: PostgresDsn | None = Field(
        None,
        description="The same database without the pooler (PgBouncer) that `DATABASE_URL` goes through, for what needs "
        "a session of its own: migrations and backups.",
    )
    database_password: SecretStr | None = Field(
        None, description="The password, where `DATABASE_URL` (or `DATABASE_DIRECT_URL`) has none."
    )
    database_pool_size: int = Field(10, ge=1, description="Connections for single statements, for each process.")
    database_session_pool_size: int = Field(10, ge=1, description="Connections for transactions, for each process.")
    database_deadline: float = Field(
        2.8, gt=0, description="Seconds that a request may spend on the database, the wait for a connection included."
    )
    database_statement_timeout: float = Field(5.0, gt=0, description="Seconds after which PostgreSQL ends a statement.")
    database_compiled_statements: bool = Field(
        True,
        description="Whether hot statements run on the driver directly; off, they take SQLAlchemy's ordinary path.",
    )

    # Redis
    redis_url: RedisUrl = Field(
        RedisUrl("redis://127.0.0.1:6379/0"),
        description="Where Redis (or Valkey) is; `rediss://` for TLS, and `?ssl_ca_certs=/file.pem` where a private authority "
        "has signed its certificate.",
    )
    redis_password: SecretStr | None = Field(None, description="The password, where `REDIS_URL` has none.")
    redis_key_prefix: str = Field(
        "taskapi:", description="Begins every key and queue name, so that several applications can share one Redis."
    )
    redis_timeout: float = Field(0.25, gt=0, description="Seconds that a Redis command may take.")

    # Starting and stopping
    startup_timeout: float = Field(60, gt=0, description="Seconds to wait for PostgreSQL at the start, then exit 3.")
    shutdown_timeout: float = Field(30, gt=0, description="Seconds that a stop may take in all.")
    drain_seconds: float = Field(5, ge=0, description="Seconds between `not ready` and closing the listener.")
    graceful_seconds: float = Field(15, ge=0, description="Seconds for open requests after the listener closed.")
    teardown_seconds: float = Field(5, ge=0, description="Seconds for closing pools and background loops.")

    # Health
    health_check_interval: float = Field(1.0, gt=0, description="Seconds between two rounds of checks.")
    health_critical_checks: CommaSeparated = Field(
        ["database"], description="Checks whose failure makes `/health/ready` 503, comma separated."
    )
    scrape_token: SecretStr | None = Field(
        None, description="Bearer token for `/metrics` and `/health/detailed`; without one, only superusers."
    )

    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Where a worker and a beat serve their own metrics, on `HOST`; without it, nowhere.",
    )

    # Logging
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="The lowest level logged.")
    log_format: Literal["json", "console"] = Field("json", description="One JSON object a line, or coloured text.")

    # Traces
    otel_exporter_otlp_endpoint: str | None = Field(
        None,
        description="Where an OpenTelemetry collector takes spans by HTTP (`http://otel_collector:4318`); without one, none "
        "are made. The exporter's other variables (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_CERTIFICATE`) count too.",
    )
    otel_traces_sampler_arg: float = Field(1.0, ge=0, le=1, description="The share of traces that are sent.")

    # Sign-in
    access_token_seconds: int = Field(900, ge=60, le=3600, description="Life of an access token.")
    refresh_token_days: int = Field(30, ge=1, description="Life of a sign-in since its last use.")
    password_min_length: int = Field(12, ge=8, le=128, description="The shortest password accepted.")
    registration_enabled: bool = Field(True, description="Whether anyone may register.")
    registration_hide_existing: bool = Field(
        False, description="Whether registering answers 202 always, so that nobody learns which addresses exist."
    )
    hash_workers: int = Field(2, ge=1, description="Threads that hash passwords, for each process.")

    # Jobs
    job_lease_seconds: float = Field(30, gt=0, description="How long an attempt holds its job without a heartbeat.")
    job_heartbeat_seconds: float = Field(10, gt=0, description="Time between two heartbeats of an attempt.")
    job_workspace_limit: int = Field(4, ge=1, description="Jobs of one workspace that run at once.")
    jobs_per_user: int = Field(
        200, ge=1, description="Imports, exports and reports, of each, that one person may have until they are pruned."
    )
    worker_concurrency: int = Field(
        2, ge=1, description="Processes of one worker; the container's memory must do for them."
    )
    worker_queues: CommaSeparated = Field(
        list(QUEUES), min_length=1, description="Queues that this worker takes from, comma separated."
    )
    reconciler_interval: float = Field(2.0, gt=0, description="Seconds between two rounds of the reconciler.")

    # Stored files, imported lists, attachments
    storage_dir: str = Field("./var/files", description="The folder of stored files.")
    storage_url: Annotated[AnyUrl, UrlConstraints(allowed_schemes=["s3", "gs", "az"])] | None = Field(
        None,
        description="A bucket to keep files in instead, `s3://bucket/folder`, of this installation alone; the rest stands "
        "in the provider's own variables (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT` and their like).",
    )
    import_max_bytes: int = Field(50_000_000, ge=1024, description="The largest file taken by `POST /tasks/import`.")
    attachment_max_bytes: int = Field(25_000_000, ge=1024, description="The largest attachment, in bytes.")
    attachments_per_task: int = Field(100, ge=1, description="Attachments that one task may have.")
    image_max_pixels: int = Field(40_000_000, ge=1, description="The largest image that gets thumbnails.")
    image_memory_bytes: int = Field(
        1 << 29, ge=1 << 28, description="Address space of the process that decodes one image, in bytes."
    )

    # Backups
    backup_url: Annotated[AnyUrl, UrlConstraints(allowed_schemes=["file", "s3", "gs", "az"])] | None = Field(
        None,
        description="Where backups go, `file:///folder` or `s3://bucket/folder`, not where the stored files are; with it one "
        "is made each night and restored each week to prove it. A bucket takes the provider's own variables.",
    )
    backup_key: SecretStr | None = Field(
        None,
        description="Encrypts backups; at least 32 random bytes, kept where the backups are not: without it they are lost.",
    )
    backup_scratch_url: PostgresDsn | None = Field(
        None,
        description="A role that may create databases, on the server where backups are restored to prove them; without it, "
        "that of `DATABASE_URL`.",
    )
    backup_keep: int = Field(7, ge=1, description="The newest backups that are kept, however old.")
    backup_keep_days: int = Field(30, ge=0, description="Days for which every backup is kept.")

    # Mail
    smtp_host: str | None = Field(
        None, description="The mail server; without one, mail is written to `mail` in the folder of stored files."
    )
    smtp_port: int = Field(587, ge=1, le=65535, description="The mail server's port.")
    smtp_username: str | None = Field(None, description="Signs in to the mail server; without one, nobody does.")
    smtp_password: SecretStr | None = Field(None, description="The password for it.")
    smtp_starttls: bool = Field(
        True,
        description="Whether the connection must be encrypted, with a certificate that counts, before mail is sent.",
    )
    mail_from: Email = Field("no-reply@localhost.localdomain", description="The address that mail comes from.")

    # Calls to others
    outgoing_ports: Annotated[list[int], NoDecode] = Field(
        [80, 443], description="Ports that may be called, comma separated."
    )
    outgoing_timeout: float = Field(5.0, gt=0, description="Seconds that a call may take in all.")
    outgoing_max_bytes: int = Field(65_536, ge=1024, description="Bytes of an answer that are read.")
    outgoing_allowed_hosts: CommaSeparated = Field(
        [],
        description="`host:port`, comma separated, that may be called though private: for development and services of "
        "your own.",
    )

    # Keeping
    trash_retention_days: int = Field(30, ge=1, description="Days after which a deleted task is purged.")

    @field_validator(
        "allowed_hosts", "cors_origins", "trusted_proxies", "health_critical_checks", "worker_queues",
        "previous_secret_keys", "outgoing_ports", "outgoing_allowed_hosts", mode="before",
    )  # fmt: skip
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("worker_queues", "health_critical_checks")
    @classmethod
    def _only_known(cls, value: list[str], info: ValidationInfo) -> list[str]:
        known = QUEUES if info.field_name == "worker_queues" else CHECKS
        if unknown := [name for name in value if name not in known]:
            raise ValueError(f"{', '.join(unknown)}: there is no such one, but {', '.join(known)}")
        return value

    @field_validator("backup_key", "scrape_token", "smtp_password", mode="before")
    @classmethod
    def _none_when_empty(cls, value: object) -> object:
        # An installation without it has an empty file in `SECRETS`.
        return value or None

    @field_validator("database_url", "database_direct_url", "backup_scratch_url")
    @classmethod
    def _asyncpg(cls, value: PostgresDsn | None) -> PostgresDsn | None:
        # Platforms hand out postgres:// and postgresql://; the driver is ours to name.
        if value is None:
            return None
        for name, given in value.query_params():
            if name not in _DATABASE_PARAMETERS:
                raise ValueError(f"{name} is none of the parameters {', '.join(sorted(_DATABASE_PARAMETERS))}")
            if name == "sslmode" and given not in SSL_MODES:
                raise ValueError(f"sslmode is one of {', '.join(SSL_MODES)}")
            if name in _SSL_FILES and not os.access(given, os.R_OK):
                raise ValueError(f"{name} is no file that can be read")
        scheme, rest = str(value).split("://", 1)
        return value if scheme == "postgresql+asyncpg" else PostgresDsn(f"postgresql+asyncpg://{rest}")

    @model_validator(mode="after")
    def _passwords(self) -> Self:
        self.database_url = PostgresDsn(_with_password(str(self.database_url), self.database_password))
        if self.database_direct_url is not None:
            direct = _with_password(str(self.database_direct_url), self.database_password)
            self.database_direct_url = PostgresDsn(direct)
        self.redis_url = RedisUrl(_with_password(str(self.redis_url), self.redis_password))
        return self

    @model_validator(mode="after")
    def _budget(self) -> Self:
        if self.drain_seconds + self.graceful_seconds + self.teardown_seconds > self.shutdown_timeout:
            raise ValueError(
                "DRAIN_SECONDS + GRACEFUL_SECONDS + TEARDOWN_SECONDS must fit into SHUTDOWN_TIMEOUT: lower one"
            )
        return self

    @property
    def driver_url(self) -> str:
        """The database's address as the driver alone takes it."""
        return str(self.database_url).replace("postgresql+asyncpg://", "postgresql://", 1)

    @property
    def direct_url(self) -> str:
        """PostgreSQL itself, for one who needs a session of his own."""
        return str(self.database_direct_url or self.database_url)

    @property
    def direct_setting(self) -> str:
        """Where that address stands."""
        return "DATABASE_DIRECT_URL" if self.database_direct_url else "DATABASE_URL"

    def problems(self) -> list[str]:
        """What is unsafe, one line each with what to change; production refuses to start while there is any."""
        found = []
        random_bytes = f"set at least {SECRET_MIN_BYTES} random bytes (openssl rand -hex 32)"
        if "secret_key" not in self.model_fields_set or _is_weak(self.secret_key):
            found.append(f"SECRET_KEY: {random_bytes}")
        if any(_is_weak(key) for key in self.previous_secret_keys):
            found.append("PREVIOUS_SECRET_KEYS: drop the weak one: anybody can make tokens with it")
        if self.backup_key and _is_weak(self.backup_key):
            found.append(f"BACKUP_KEY: {random_bytes}")
        if "*" in self.allowed_hosts:
            found.append("ALLOWED_HOSTS: name the hosts instead of *")
        if any(network == "*" or network.endswith("/0") for network in self.trusted_proxies):
            found.append("TRUSTED_PROXIES: name your proxies' networks; where all count, a caller is whoever he says")
        if "*" in self.cors_origins and self.cors_allow_credentials:
            found.append("CORS_ORIGINS: name the origins; * does not go with CORS_ALLOW_CREDENTIALS=true")
        if self.environment == "production":
            found += self._unset()
        return found

    def _unset(self) -> list[str]:
        """What does for development only."""
        found = []
        if "allowed_hosts" not in self.model_fields_set:
            found.append("ALLOWED_HOSTS: name the hosts under which clients come")
        if any(not host["password"] and not _is_loopback(host["host"] or "") for host in self.redis_url.hosts()):
            found.append("REDIS_PASSWORD: set one; a Redis without may be on this machine only")
        return found

    def refuse_unsafe(self) -> None:
        """In production, ends the process where there are problems, with a line for each and exit code `REFUSED`."""
        problems = self.problems()
        if self.environment == "production" and problems:
            sys.stderr.writelines(f"refused to start: {problem}\n" for problem in problems)
            raise SystemExit(REFUSED)
