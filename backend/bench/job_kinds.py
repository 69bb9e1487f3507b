"""The job of `bench jobs`: it counts, as plain Celery's counterpart does."""

from __future__ import annotations

import functools
import time

from redis import Redis

from app.worker import JobArgs, RunningJob, handler

COUNT, LATENCIES = "bench:count", "bench:latencies"


class CountArgs(JobArgs, kind="bench.count"):
    """`sent` is the time just before the enqueue, in seconds since 1970; None where nobody asks for the latency."""

    sent: float | None = None


@functools.cache
def connection(url: str) -> Redis:
    return Redis.from_url(url)


@handler(CountArgs)
async def count(job: RunningJob, args: CountArgs) -> None:
    now = time.time()
    redis = connection(str(job.settings.redis_url))
    if args.sent is not None:
        redis.rpush(LATENCIES, (now - args.sent) * 1000)
    redis.incr(COUNT)
