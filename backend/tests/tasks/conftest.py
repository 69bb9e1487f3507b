from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest


@pytest.fixture
def make(api: httpx2.AsyncClient) -> Callable[..., Awaitable[dict[str, Any]]]:
    async def make(**fields: Any) -> dict[str, Any]:
        answer = await api.post("/tasks", json={"title": "Buy milk", **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()

    return make
