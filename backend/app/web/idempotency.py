"""`Idempotency-Key`: the answer is stored with the effect, in one transaction.

The header and its meaning: draft-ietf-httpapi-idempotency-key-header-07.

The twin of a request that still runs is told so at once: an advisory lock is tried, nothing waits on a unique key.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.postgresql import insert
from starlette.datastructures import UploadFile
from starlette.responses import Response

from app.kit.errors import BadRequest, Conflict, InvalidInput
from app.models import IdempotencyKey
from app.models.idempotency_key import IDEMPOTENCY_HOURS

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession
    from starlette.requests import Request

KEY = re.compile(r"[\x21-\x7e]{1,255}")
KEPT_HEADERS = ("content-type", "etag", "location")
_CHUNK = 1 << 20


class InvalidIdempotencyKey(BadRequest):
    code, title = "invalid_idempotency_key", "Idempotency-Key takes 1 to 255 visible ASCII characters"


class IdempotencyKeyReused(InvalidInput):
    code, title = "idempotency_key_reused", "This Idempotency-Key was used with another request"


class RequestInProgress(Conflict):
    code, title = "request_in_progress", "The first request with this Idempotency-Key is still running"


@dataclass(slots=True)
class Replay(Exception):
    """A request with a key, and once `begin` found one, the answer stored for it."""

    key: str
    fingerprint: bytes = b""
    caller_id: UUID | None = None
    session: AsyncSession | None = None
    response: Response | None = None

    def answer(self) -> Response:
        """The stored answer; only `begin` raises this, and with one."""
        if self.response is None:
            raise LookupError(self.key)
        return self.response


def read(request: Request) -> Replay | None:
    """The request's key. Raises InvalidIdempotencyKey."""
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not KEY.fullmatch(keys[0]):
        raise InvalidIdempotencyKey
    return Replay(keys[0])


async def fingerprint(request: Request) -> bytes:
    """Of what the request asks; reads its body."""
    digest = hashlib.sha256(f"{request.method}\n{request.url.path}\n{request.url.query}\n".encode())
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        await _digest_form(digest, request)
    else:
        digest.update(await request.body())
    return digest.digest()


async def _digest_form(digest: Any, request: Request) -> None:
    # A repeat has another boundary: what counts are the parts, each told apart from its neighbours by its repr.
    for name, value in sorted((await request.form()).multi_items(), key=lambda part: part[0]):
        if isinstance(value, UploadFile):
            content = hashlib.sha256()
            while chunk := await value.read(_CHUNK):
                content.update(chunk)
            await value.seek(0)
            digest.update(repr((name, value.filename, content.digest())).encode())
        else:
            digest.update(repr((name, value)).encode())


_FIND = select(IdempotencyKey.fingerprint, IdempotencyKey.status, IdempotencyKey.headers, IdempotencyKey.body).where(
    IdempotencyKey.caller_id == bindparam("caller_id"),
    IdempotencyKey.key == bindparam("key"),
    IdempotencyKey.created_at > func.now() - timedelta(hours=IDEMPOTENCY_HOURS),
)


async def begin(session: AsyncSession, replay: Replay, caller_id: UUID) -> None:
    """Takes the key for this transaction, or raises: the stored answer (Replay), 409 or 422."""
    lock = hashlib.blake2b(f"{caller_id}\n{replay.key}".encode(), digest_size=8).digest()
    number = int.from_bytes(lock, "big", signed=True)
    if not await session.scalar(select(func.pg_try_advisory_xact_lock(number))):
        raise RequestInProgress
    # A statement of its own: it must see what the lock's last holder committed.
    stored = (await session.execute(_FIND, {"caller_id": caller_id, "key": replay.key})).one_or_none()
    if stored is None:
        replay.caller_id, replay.session = caller_id, session
        return
    if stored.fingerprint != replay.fingerprint:
        raise IdempotencyKeyReused
    headers = {**stored.headers, "Idempotency-Replayed": "true"}
    replay.response = Response(stored.body, stored.status, headers)
    raise replay


async def store(replay: Replay, response: Response) -> None:
    """Keeps a 2xx answer, in the transaction of its effect."""
    if replay.session is None or not 200 <= response.status_code < 300:  # noqa: PLR2004
        return
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    row = {
        "caller_id": replay.caller_id,
        "key": replay.key,
        "fingerprint": replay.fingerprint,
        "status": response.status_code,
        "headers": headers,
        "body": bytes(response.body),
        "created_at": func.now(),
    }
    # One that counts no longer may be there still.
    statement = insert(IdempotencyKey).values(row).on_conflict_do_update(index_elements=["caller_id", "key"], set_=row)
    await replay.session.execute(statement)
