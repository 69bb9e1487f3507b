"""The parts of one process that know who is calling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.identity.callers import Callers
from app.identity.passwords import PasswordHasher
from app.identity.throttle import LoginThrottle
from app.identity.tokens import AccessTokens, RefreshTokens

if TYPE_CHECKING:
    from app.infra.database import Database
    from app.infra.settings import Settings


@dataclass(frozen=True, slots=True)
class Identity:
    """`hasher` is a component: it is started and stopped with the process."""

    hasher: PasswordHasher
    access_tokens: AccessTokens
    refresh_tokens: RefreshTokens
    callers: Callers
    throttle: LoginThrottle


def make_identity(database: Database, settings: Settings) -> Identity:
    """With the keys and limits of the settings; earlier keys verify and never sign."""
    secrets = [key.get_secret_value() for key in (settings.secret_key, *settings.previous_secret_keys)]
    return Identity(
        PasswordHasher(settings.hash_workers),
        AccessTokens(secrets, settings.access_token_seconds),
        RefreshTokens(secrets),
        Callers(database, settings.database_deadline),
        LoginThrottle(database, settings),
    )
