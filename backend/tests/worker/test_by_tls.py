"""A worker whose Redis speaks TLS."""

from __future__ import annotations

from pathlib import Path

from job_kinds import EchoArgs

from app.infra.settings import Settings
from tests.servers import certificate, listening, passing_on, redis_by_tls


async def test_tokens_come_by_tls(start, add, finished, settings: Settings, tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path, "localhost")
    server = settings.redis_url.hosts()[0]
    async with listening(passing_on(server["host"] or "", server["port"] or 6379), context) as port:
        url = f"{redis_by_tls(str(settings.redis_url), port)}?ssl_ca_certs={trusted}"
        worker = await start(REDIS_URL=url, REDIS_TIMEOUT="2")
        for _ in range(2):
            assert (await finished(await add(EchoArgs()))).state == "completed"
        assert not any("redis_left_alone" in line or "top_up_failed" in line for line in worker.log)
