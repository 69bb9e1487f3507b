"""What a call is told."""

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from app.infra.http import Refused, parse
from app.kit.schema import Text
from app.worker import JobArgs

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
"""A token (RFC 9110 5.6.2)."""
_VALUE = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?|")
_OURS = {
    *("host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect"),
    *("keep-alive", "proxy-connection", "proxy-authorization", "idempotency-key", "traceparent", "user-agent"),
}


def _url(value: str) -> str:
    try:
        parse(value)
    except Refused as refused:
        raise PydanticCustomError("url_refused", "This is not a URL that may be called") from refused
    return value


def _headers(value: dict[str, str]) -> dict[str, str]:
    for name, content in value.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(content):
            raise PydanticCustomError("header_invalid", "A header has a character that HTTP does not allow there")
        if name.lower() in _OURS:
            raise PydanticCustomError("header_reserved", "A header is one that the client itself sets")
    return value


class CallArgs(
    JobArgs, kind="http.call", max_attempts=10, timeout=60, backoff=5.0, backoff_cap=900.0, retention=timedelta(days=30)
):
    """Calls a URL and keeps its answer. The address is checked, no redirect is followed, `Idempotency-Key` is the job's id.

    An answer below 300 completes the job. 408, 425, 429 and from 500 on are tried again, after `Retry-After` where it
    is given; any other status discards the job.
    """

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    url: Annotated[str, Text(2048, min_length=1), AfterValidator(_url)]
    headers: Annotated[dict[str, Annotated[str, Text(4096)]], AfterValidator(_headers)] = Field({}, max_length=50)
    body: Annotated[str, Text(32_768)] | None = None
