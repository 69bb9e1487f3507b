from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.conftest import Account, SignUp


@pytest.fixture
async def ada(sign_up: SignUp) -> Account:
    return await sign_up("ada@example.com")


@pytest.fixture
async def bob(sign_up: SignUp) -> Account:
    return await sign_up("bob@example.com")


@pytest.fixture
def api(client: httpx2.AsyncClient, ada: Account) -> httpx2.AsyncClient:
    """The client, signed in as Ada."""
    client.headers.update(ada.headers)
    return client


@pytest.fixture
def make(api: httpx2.AsyncClient) -> Callable[..., Awaitable[dict[str, Any]]]:
    async def make(**fields: Any) -> dict[str, Any]:
        answer = await api.post("/tasks", json={"title": "Buy milk", **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()

    return make
