"""What the processes of a worker may keep of the container's memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.infra.settings import Settings
from app.worker import memory

GIB = 1 << 30


def share(limit: int | None, queues: str = "default", **settings: int) -> int:
    return memory.of_pool_process(Settings(_env_file=None, worker_queues=queues, **settings), limit) >> 20


def test_all_processes_fit_into_the_container_together() -> None:
    for concurrency in (1, 2, 4):
        together = concurrency * share(GIB, worker_concurrency=concurrency) + 256
        assert together <= 1024, "beside the worker and its reconciler"
    assert share(GIB, worker_concurrency=2) == 384


def test_each_may_decode_an_image_in_a_process_beside_it() -> None:
    assert share(2 * GIB, "slow,images") == 384
    assert share(2 * GIB, "slow") == 500


def test_without_a_limit_it_is_what_a_job_usually_needs() -> None:
    assert share(None, worker_concurrency=64) == 500


@pytest.mark.parametrize(
    ("name", "content"), [("memory.max", "1073741824"), ("memory/memory.limit_in_bytes", "1073741824")]
)
def test_the_limit_is_read_from_either_cgroup(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "memory").mkdir()
    assert memory.of_container(tmp_path) is None
    (tmp_path / name).write_text(content + "\n")
    assert memory.of_container(tmp_path) == GIB


def test_no_limit_is_none(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.of_container(tmp_path) is None


def test_a_worker_that_does_not_fit_is_refused_with_the_setting_s_name() -> None:
    with pytest.raises(
        memory.NotEnough, match=r"^WORKER_CONCURRENCY: 5 processes need 1216 MiB, the container has 1024:"
    ):
        share(GIB, worker_concurrency=5)
