from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

Make = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def make(api: httpx2.AsyncClient) -> Make:
    """Posts to a list, as Ada, and returns what was made."""

    async def make(path: str, **fields: Any) -> dict[str, Any]:
        answer = await api.post(path, json=fields)
        assert answer.status_code == 201, answer.text
        return answer.json()

    return make


@pytest.fixture
async def project(make: Make) -> dict[str, Any]:
    return await make("/projects", name="House")
