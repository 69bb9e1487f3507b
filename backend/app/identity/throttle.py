"""Failed sign-ins slow an account down. The counters are in PostgreSQL: losing Redis forgives nothing.

Ten failures in a row are free; from then on each doubles the wait, from half a minute, so that a wait never exceeds
the time that the attack has taken, and a hundred failures never happen (NIST SP 800-63B-4 3.2.2). Where the owner has
signed in from before, failures are counted apart: a stranger who fails on purpose does not lock the owner out.
"""

from __future__ import annotations

import hmac
import math
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.identity import repository
from app.identity.tokens import derive
from app.kit.clock import utc_now
from app.kit.errors import RateLimited

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from app.infra.database import Database
    from app.infra.settings import Settings

FREE_FAILURES = 10
FIRST_DELAY_SECONDS = 30


class TooManyFailures(RateLimited):
    code, title = "too_many_failures", "Too many failed attempts to sign in to this account"


def canonical(address: str) -> str:
    """An e-mail address in the form that is looked up and counted: no spaces around, full-width letters as plain."""
    return unicodedata.normalize("NFKC", address).strip()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to sign in. `device` is the client's address if the account signed in from it before, else empty."""

    identifier: bytes
    account: bytes
    device: str

    def params(self) -> dict[str, Any]:
        return {"of_identifier": self.identifier, "of_account": self.account, "on_device": self.device}


class LoginThrottle:
    """Admits attempts to sign in, and counts the failed ones."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._free = max(1, round(FREE_FAILURES * settings.rate_limit_scale))
        self._key = derive([settings.secret_key.get_secret_value()], "login-identifier")[0]

    async def admit(self, address: str, device: str) -> Attempt:
        """An attempt on the account of an e-mail address, existing or not. Raises TooManyFailures."""
        identifier = canonical(address).casefold()
        local, at, domain = identifier.rpartition("@")
        account = local.partition("+")[0] + at + domain
        attempt = Attempt(self._digest(identifier), self._digest(account), device)
        await self._refuse_blocked(attempt)
        return attempt

    async def failed(self, attempt: Attempt) -> None:
        """Counts it. Raises TooManyFailures where others have used up the tries while this one was checked."""
        params = {**attempt.params(), "now": utc_now(), "free": self._free, "first_delay": FIRST_DELAY_SECONDS}
        if not await self._database.fetch(repository.COUNT_FAILURE, params):
            await self._refuse_blocked(attempt)

    async def succeeded(self, session: AsyncSession, attempt: Attempt) -> None:
        """Forgets the failures. Raises TooManyFailures as `failed` does: a right guess must not show either."""
        found = (await session.execute(repository.FORGET_FAILURES, attempt.params())).scalar_one_or_none()
        _refuse(found)

    async def _refuse_blocked(self, attempt: Attempt) -> None:
        rows = await self._database.fetch(repository.BLOCKED_UNTIL, attempt.params(), retry=True)
        _refuse(rows[0]["blocked_until"])

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode(), "sha256")


def _refuse(blocked_until: Any) -> None:
    if blocked_until is not None and (seconds := (blocked_until - utc_now()).total_seconds()) > 0:
        raise TooManyFailures(retry_after=math.ceil(seconds))
