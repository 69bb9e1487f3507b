"""The handler of `http.call`."""

from __future__ import annotations

import random
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from app.calls.job_args import CallArgs
from app.infra.http import Answer, CircuitOpen, HttpClient, Refused, Unreachable
from app.kit.clock import utc_now
from app.worker import Permanent, Retry, RunningJob, handler

_TRANSIENT = {408, 425, 429}
_SERVER_ERROR = 500
_REDIRECT = 300
LONGEST_WAIT = 86_400.0
"""Seconds: a `Retry-After` beyond it counts as this."""
SHOWN_CHARACTERS = 8_000
"""Of the answer's body in the result: as JSON escapes at most 48 kB, so that it fits into any result."""


@handler(CallArgs)
async def call(job: RunningJob, args: CallArgs) -> dict[str, Any]:
    """The receiver may get a call twice, with the same key: when its answer was lost, or our process was."""
    headers = {**args.headers, "Idempotency-Key": job.idempotency_key}
    await job.checkpoint()
    try:
        answer = await HttpClient(job.settings, job.database).call(
            args.method, args.url, headers=headers, body=(args.body or "").encode()
        )
    except Refused as error:
        raise Permanent(error.code, error.message) from None
    except CircuitOpen as error:
        # Spread: however many wait for the host, one of them tries it.
        after = error.seconds * random.uniform(1, 2)
        raise Retry(after=after, code=error.code, message=error.message, counted=False) from None
    except Unreachable as error:
        raise Retry(code=error.code, message=error.message) from None
    return _judge(answer)


def _judge(answer: Answer) -> dict[str, Any]:
    result = _shown(answer)
    if answer.status < _REDIRECT:
        return result
    message = f"The answer was {answer.status}"
    if answer.status in _TRANSIENT or answer.status >= _SERVER_ERROR:
        raise Retry(after=retry_after(answer.headers.get("retry-after")), code="http_transient", message=message)
    raise Permanent("http_refused", message, result=result)


def _shown(answer: Answer) -> dict[str, Any]:
    text = answer.body.decode(errors="replace").replace("\x00", "\ufffd")  # PostgreSQL holds no NUL
    return {
        "status": answer.status,
        "content_type": answer.headers.get("content-type", "")[:200],
        "body": text[:SHOWN_CHARACTERS],
        "truncated": answer.truncated or len(text) > SHOWN_CHARACTERS,
    }


def retry_after(value: str | None) -> float | None:
    """Seconds from now (RFC 9110 10.2.3: a number of them, or a date); None where there is none that can be read."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - utc_now()).total_seconds()), LONGEST_WAIT)
