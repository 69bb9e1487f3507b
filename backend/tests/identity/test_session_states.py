from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.identity import sessions
from app.identity.tokens import RefreshTokens

MONTH = timedelta(days=30)


async def test_a_session_is_rotated_by_one_transaction_at_a_time(sign_up, app):
    account = await sign_up()
    refresh: RefreshTokens = app.state.identity.refresh_tokens
    async with app.state.database.transaction() as first:
        assert await sessions.rotate(first, refresh, account.refresh_token, MONTH) is not None
        await first.flush()
        async with app.state.database.session() as second:
            await second.execute(text("SET LOCAL lock_timeout = '20ms'"))
            with pytest.raises(DBAPIError, match="lock timeout"):
                await sessions.rotate(second, refresh, account.refresh_token, MONTH)


async def test_a_rotation_that_was_rolled_back_never_happened(sign_up, app):
    account = await sign_up()
    refresh: RefreshTokens = app.state.identity.refresh_tokens
    async with app.state.database.session() as session:
        lost = await sessions.rotate(session, refresh, account.refresh_token, MONTH)
        await session.flush()
        await session.rollback()
    async with app.state.database.transaction() as session:
        again = await sessions.rotate(session, refresh, account.refresh_token, MONTH)
    assert lost is not None
    assert again == lost
