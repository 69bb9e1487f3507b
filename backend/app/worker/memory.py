"""How much memory a worker's pool process may keep, so that all of them fit into the container."""

from __future__ import annotations

from pathlib import Path

from app.infra.settings import Settings

CGROUP = Path("/sys/fs/cgroup")
_USUAL = 500 << 20
_BESIDE = 256 << 20
"""Of the worker itself and its reconciler (measured: 160 and 87 MB, of which its pool processes share the most)."""
_LEAST = 192 << 20
"""An idle pool process has 142 MB; one that may have no more would be replaced after each job."""


class NotEnough(Exception):
    """The container is too small for this worker; the message says for which setting."""


def of_container(cgroup: Path = CGROUP) -> int | None:
    """The limit in bytes, None where there is none: that of cgroup v2, or v1."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return int((cgroup / name).read_text())
        except (OSError, ValueError):  # "max"
            continue
    return None


def of_pool_process(settings: Settings, limit: int | None) -> int:
    """Bytes beyond which a pool process is replaced after its job, in a container with this limit. Raises NotEnough."""
    if limit is None:
        return _USUAL
    decoding = settings.image_memory_bytes if "images" in settings.worker_queues else 0  # in a process of its own
    share = (limit - _BESIDE) // settings.worker_concurrency - decoding
    if share < _LEAST:
        needed = _BESIDE + settings.worker_concurrency * (_LEAST + decoding)
        raise NotEnough(
            f"WORKER_CONCURRENCY: {settings.worker_concurrency} processes need {needed >> 20} MiB, the container has "
            f"{limit >> 20}: lower it, or give the container more"
        )
    return min(_USUAL, share)
