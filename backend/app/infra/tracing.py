"""Spans to an OpenTelemetry collector: requests, statements, attempts at jobs, calls to others, in one trace.

The ids are those that the log and the rows have anyway (`infra.logging`), so a span is made when its work is over, and
nothing is done while it runs. Where no collector is named, OpenTelemetry's SDK is not even imported.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from app import SERVICE_NAME, __version__
from app.infra import logging

if TYPE_CHECKING:
    import asyncpg
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from sqlalchemy import Engine

    from app.infra.settings import Settings

Kind = Literal["SERVER", "CLIENT", "CONSUMER"]

_EXPORT_SECONDS = 2.0
"""For one batch, repeats included, and for the last one when the process ends."""
_LONGEST_TEXT = 1000
_processor: BatchSpanProcessor | None = None
_resource: Any = None
_kept = 0
"""Traces whose id's lower half is below this are kept; so all processes keep the same ones."""


def start(settings: Settings, role: str) -> None:
    """Begins to export, if `OTEL_EXPORTER_OTLP_ENDPOINT` is set; in a process that forks, after the fork."""
    global _processor, _resource, _kept  # noqa: PLW0603  there is one for a process
    if settings.otel_exporter_otlp_endpoint is None or _processor is not None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    address = f"{settings.otel_exporter_otlp_endpoint.rstrip('/')}/v1/traces"
    about = {"service.name": SERVICE_NAME, "service.version": __version__, "taskapi.role": role}
    _resource = Resource.create(about | {"deployment.environment.name": settings.environment})
    _kept = int(settings.otel_traces_sampler_arg * 2**64)
    _processor = BatchSpanProcessor(OTLPSpanExporter(address, timeout=_EXPORT_SECONDS))


def stop() -> None:
    """Sends what is left, for at most two seconds."""
    global _processor
    processor, _processor = _processor, None
    if processor is not None:
        last = threading.Thread(target=processor.shutdown, daemon=True)
        last.start()
        last.join(_EXPORT_SECONDS)


def is_on() -> bool:
    """Whether spans are sent."""
    return _processor is not None


def new_trace_id() -> str:
    return f"{random.getrandbits(128) or 1:032x}"


def new_span_id() -> str:
    return f"{random.getrandbits(64) or 1:016x}"


def record(
    name: str,
    kind: Kind,
    seconds: float,
    *,
    ids: Mapping[str, str],
    parent: str | None,
    error: str | None = None,
    **attributes: Any,
) -> None:
    """A span that has just ended, with the `trace_id` and `span_id` of `ids`. Does nothing while nothing is exported."""
    if _processor is None or int(ids["trace_id"][16:], 16) >= _kept:
        return
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    trace, flags, end = int(ids["trace_id"], 16), TraceFlags(TraceFlags.SAMPLED), time.time_ns()
    if error is not None:
        attributes["error.type"] = error
    _processor.on_end(
        ReadableSpan(
            name,
            SpanContext(trace, int(ids["span_id"], 16), is_remote=False, trace_flags=flags),
            None if parent is None else SpanContext(trace, int(parent, 16), is_remote=True, trace_flags=flags),
            _resource,
            {key: value for key, value in attributes.items() if value is not None},
            kind=SpanKind[kind],
            status=Status(StatusCode.UNSET if error is None else StatusCode.ERROR),
            start_time=end - int(seconds * 1e9),
            end_time=end,
        )
    )


@contextmanager
def span(name: str, kind: Kind, **attributes: Any) -> Iterator[dict[str, Any]]:
    """Part of the present trace; `logging.traceparent()` inside continues it. More attributes may be put into what it gives,
    and `error`. Without a trace there is nothing to be part of.
    """
    before = logging.context()
    if _processor is None or "trace_id" not in before:
        yield {}
        return
    ids = {"trace_id": before["trace_id"], "span_id": new_span_id()}
    token = logging.bind(span_id=ids["span_id"])
    began = time.perf_counter()
    try:
        yield attributes
    except BaseException as failure:
        attributes.setdefault("error", type(failure).__name__)
        raise
    finally:
        logging.unbind(token)
        record(name, kind, time.perf_counter() - began, ids=ids, parent=before.get("span_id"), **attributes)


def _record_statement(sql: str, seconds: float, failure: BaseException | None) -> None:
    context = logging.context()
    if _processor is None or "trace_id" not in context:
        return
    sql = " ".join(sql.split())
    record(
        sql.partition(" ")[0].upper(),
        "CLIENT",
        seconds,
        ids={"trace_id": context["trace_id"], "span_id": new_span_id()},
        parent=context.get("span_id"),
        error=None if failure is None else type(failure).__name__,
        # The values are parameters, and stay where they are.
        **{"db.system.name": "postgresql", "db.query.text": sql[:_LONGEST_TEXT]},
    )


def watch_connection(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """A span for each statement on this connection of the driver."""
    connection.add_query_logger(lambda done: _record_statement(done.query, done.elapsed, done.exception))


def watch_engine(engine: Engine) -> None:
    """A span for each statement through SQLAlchemy."""
    from sqlalchemy import event

    def before(_: Any, __: Any, ___: Any, ____: Any, context: Any, _____: Any) -> None:
        context.taskapi_began = time.perf_counter()

    def after(_: Any, __: Any, statement: str, ____: Any, context: Any, _____: Any) -> None:
        _record_statement(statement, time.perf_counter() - context.taskapi_began, None)

    def failed(context: Any) -> None:
        if (began := getattr(context.execution_context, "taskapi_began", None)) is not None:
            _record_statement(context.statement, time.perf_counter() - began, context.original_exception)

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    event.listen(engine, "handle_error", failed)
