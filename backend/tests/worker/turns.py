"""A turn of a pool process, in this one."""

from __future__ import annotations

import asyncio

from app.worker.child import Child


async def run(child: Child, queue: str = "default") -> int:
    """What one message is good for; how many jobs that were."""
    return await asyncio.to_thread(child.run_next, queue)
