"""Events on stdout: one JSON object a line, or a line for people, with the ids of what is being done."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
from contextvars import ContextVar
from mmap import mmap
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import structlog
from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token

    from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

_QUIET = ("sqlalchemy", "asyncio", "kombu", "amqp", "botocore", "celery.worker.strategy", "celery.app.trace")
"""Libraries that tell more than an operator wants; their warnings still come through."""

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_FIRST = ("timestamp", "level", "event")

_NUMBERS = logging.getLevelNamesMapping()
_STEP = 10
_threshold: bytearray | mmap = bytearray([logging.INFO // _STEP])
"""The level in force, in tens. One byte, so that processes can share it (`share_level`)."""

_context: ContextVar[Mapping[str, Any]] = ContextVar("log_context", default=MappingProxyType({}))


def bind(**fields: Any) -> Token[Mapping[str, Any]]:
    """Adds fields (`request_id`, `trace_id`, `job_id`, `user_id`) to later events of this task and those it starts."""
    return _context.set({**_context.get(), **fields})


def unbind(token: Token[Mapping[str, Any]]) -> None:
    """Takes back what `bind` added."""
    _context.reset(token)


def context() -> Mapping[str, Any]:
    """The fields bound here and now."""
    return _context.get()


def trace_id() -> str | None:
    """The W3C trace id of what is being done: 32 hex digits."""
    return _context.get().get("trace_id")


def traceparent() -> str | None:
    """The header that continues this trace elsewhere (W3C Trace Context 3.2): in a job, in an outgoing call."""
    fields = _context.get()
    if "trace_id" not in fields or "span_id" not in fields:
        return None
    return f"00-{fields['trace_id']}-{fields['span_id']}-01"


_SECRET_WORD = r"password|passwd|secret|token|authorization|cookie|api[_-]?key|dsn|database_url|redis_url|broker_url"  # noqa: S105
_SECRETS = re.compile(
    # A field like some_password with its text, however deep,
    rf'(?P<field>"[\w-]*(?:{_SECRET_WORD})[\w-]*"\s*:\s*")(?:[^"\\]|\\.)+'
    # and inside of a string that is itself JSON, where each quote and each backslash has one more before it.
    rf'|(?P<inner>\\"[\w-]*(?:{_SECRET_WORD})[\w-]*\\"\s*:\s*\\")(?:[^"\\]|\\\\(?:\\["\\]|[^"\\]))+'
    # A word and its value in running text, as in a DSN's query, a Python dict or an exception's message.
    rf"|(?P<pair>(?:{_SECRET_WORD})'?\s*[=:]\s*'?)(?:(?:bearer|basic)\s+)?[^\s&\"'\\,;)}}]+"
    r"|(?P<scheme>(?:bearer|basic)\s+)[\w.~+/=-]{8,}"
    r"|(?P<dsn>://[^\s:/@\"\\]*:)[^\s/@\"\\]+(?=@)"
    # An access token, a refresh token, wherever they stand.
    r"|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|\brt_[\w-]{20,}",
    re.IGNORECASE,
)


_SIGNS = (
    "password", "passwd", "secret", "token", "authorization", "cookie", "api_key", "api-key", "apikey", "dsn", "_url",
    "bearer ", "basic ", "://", "eyj", "rt_",
)  # fmt: skip
"""A line without any of these, in small letters, cannot match; looking for them costs a hundredth of the pattern."""


def _hide(match: re.Match[str]) -> str:
    return f"{match[match.lastgroup] if match.lastgroup else ''}[redacted]"


def redact(line: str) -> str:
    """The line without passwords, tokens and the like, told by the name of a field or by the look of a value.

    It works on what was rendered, so that nested fields, messages and tracebacks are treated alike; JSON stays JSON.
    """
    small = line.lower()
    if any(sign in small for sign in _SIGNS):
        return _SECRETS.sub(_hide, line)
    return line


def set_level(level: str) -> None:
    """From now on, for this process and those that share its level. What libraries say stays at the level of the start
    where it was higher.
    """
    _threshold[0] = _NUMBERS[level] // _STEP


def share_level(file: int) -> None:
    """From now on, the level of this process is that of all that share the open file (a byte at least)."""
    global _threshold  # noqa: PLW0603  there is one for a process
    _threshold = mmap(file, 1)


class _Logger(structlog.make_filtering_bound_logger(logging.DEBUG)):  # type: ignore[misc]  # a class made at run time
    """Asks for the level in force at each event; above WARNING there is nothing that it could leave out."""

    def debug(self, event: str, *args: Any, **fields: Any) -> Any:
        return super().debug(event, *args, **fields) if _threshold[0] <= logging.DEBUG // _STEP else None

    def info(self, event: str, *args: Any, **fields: Any) -> Any:
        return super().info(event, *args, **fields) if _threshold[0] <= logging.INFO // _STEP else None

    def warning(self, event: str, *args: Any, **fields: Any) -> Any:
        return super().warning(event, *args, **fields) if _threshold[0] <= logging.WARNING // _STEP else None


def _add_context(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name, value in _context.get().items():
        event.setdefault(name, value)
    return event


def _as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    event = {**{name: event.pop(name) for name in _FIRST if name in event}, **event}
    try:
        line = to_json(event, fallback=repr, inf_nan_mode="strings").decode()
    except ValueError:
        # Lone surrogates, bytes that are no UTF-8: escaped, the line is JSON all the same.
        line = json.dumps(event, default=repr, separators=(",", ":"))
    return redact(line)


class _Console:
    def __init__(self) -> None:
        self._render = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=_plain_traceback)

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        return redact(self._render(logger, method, event))


def _plain_traceback(stream: Any, error: ExcInfo) -> None:
    # Without the values of local variables: they hold what a log must not.
    structlog.dev.plain_traceback(stream, error)


def _write(line: str) -> None:
    # A log that cannot be written (a closed pipe) is no reason for a request to fail.
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


class _Stdout:
    """structlog's logger: every level goes to stdout."""

    def msg(self, line: str) -> None:
        _write(line)

    debug = info = warning = error = critical = exception = log = msg


class _StdoutHandler(logging.Handler):
    """The standard library's records, on the same stream."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= _threshold[0] * _STEP

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _write(self.format(record))
        except Exception:  # noqa: BLE001  logging must not raise
            self.handleError(record)


def configure(level: str, style: Literal["json", "console"]) -> None:
    """Sends the events of structlog and of the standard library to stdout. For the start of a process: a logger keeps
    the style that it found at its first event.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    threshold = _NUMBERS[level]
    set_level(level)
    before: list[Processor] = [
        _add_context,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor] = [structlog.processors.format_exc_info, _as_json] if style == "json" else [_Console()]
    structlog.configure(
        processors=[*before, *rendering],
        wrapper_class=_Logger,
        logger_factory=lambda *_: _Stdout(),
        cache_logger_on_first_use=True,
    )
    handler = _StdoutHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers = [one for one in root.handlers if not isinstance(one, _StdoutHandler)]
    root.addHandler(handler)
    root.setLevel(threshold)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
