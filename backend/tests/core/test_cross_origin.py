"""What a page of another origin may send and read (Fetch, CORS protocol)."""

from __future__ import annotations

import httpx2
import pytest

from app.infra.settings import Settings

ORIGIN = {"Origin": "https://app.example"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"cors_origins": ["https://app.example"]})


async def test_a_page_may_resume_downloads_and_streams_and_read_what_a_file_is_called(
    client: httpx2.AsyncClient,
) -> None:
    wanted = {"Range", "If-Range", "Last-Event-ID", "If-Match", "Idempotency-Key"}
    asked = {**ORIGIN, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": ", ".join(wanted)}

    preflight = await client.options("/tasks", headers=asked)
    answer = await client.get("/health/live", headers=ORIGIN)

    assert preflight.status_code == 200
    assert wanted <= set(preflight.headers["access-control-allow-headers"].split(", "))
    assert {"Content-Disposition", "Content-Range", "ETag"} <= set(
        answer.headers["access-control-expose-headers"].split(", ")
    )
