from __future__ import annotations

import re

import httpx2
import pytest

from app.core.app_factory import create_app
from app.infra.settings import Settings


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_the_page_loads_nothing_from_elsewhere(client: httpx2.AsyncClient, path: str) -> None:
    page = await client.get(path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"https?://", page.text)
    for asset in re.findall(r'(?:src|href)="(/docs/[^"]+)"', page.text):
        answer = await client.get(asset)
        assert answer.status_code == 200, asset
        assert not re.search(r"https?://", answer.text), asset


async def test_the_pages_can_be_switched_off(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"docs_enabled": False}))
    async with app.router.lifespan_context(app):
        await app.state.lifecycle.wait_started()
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://testserver") as client:
            for path in ("/docs", "/redoc", "/openapi.json", "/docs/docs.js"):
                assert (await client.get(path)).status_code == 404
