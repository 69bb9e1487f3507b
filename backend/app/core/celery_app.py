"""Celery as we use it: it starts, scales and limits the processes, and carries the word that a queue has work.

What there is to do, who does it and how it ended stands in PostgreSQL; see docs/adr/0003.
"""

from __future__ import annotations

import gc
import mmap
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import billiard.pool
import structlog
from celery import Celery, bootsteps, signals

from app.core.job_modules import HANDLER_MODULES, load
from app.infra import logging, profiling
from app.infra.settings import Settings
from app.infra.token_transport import RUN_NEXT, celery_settings
from app.worker import kinds
from app.worker.child import Child
from app.worker.reconciler import Duty
from app.worker.sight import Channel

log = structlog.get_logger(__name__)

_RECONCILER_STOP_SECONDS = 5
_DUTIES_SECONDS = 1.0
_SOURCES = str(Path(__file__).parents[2])


class Shutdown:
    """When running jobs are to be given back; one word of memory that the pool's processes share with their parent."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)

    def begin(self, grace: float) -> None:
        self._memory[:] = struct.pack("d", time.monotonic() + grace)

    def release_at(self) -> float | None:
        """On `time.monotonic`, which processes of one machine share; None while nobody shuts down."""
        return struct.unpack("d", self._memory[:])[0] or None


class WorkerProcess:
    """What hangs on the life of one worker: its name in the rows, its reconciler, what its pool processes own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.id = f"{socket.gethostname()}/{os.getpid()}-{secrets.token_hex(3)}"
        self.shutdown = Shutdown()
        self.child: Child | None = None
        self.channel = Channel()
        # The reconciler hears of another log level, and all processes of the worker follow.
        self._level = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the worker
        self._level.write(bytes([0]))
        self._level.flush()
        logging.share_level(self._level.fileno())
        logging.set_level(settings.log_level)
        self._reconciler: subprocess.Popen[bytes] | None = None
        self._told_to_end_at: float | None = None
        """In a pool process: when it was told so itself. Its siblings, and the worker, go on."""

    def keep_reconciler(self) -> None:
        """Starts it, and again if it has died."""
        if self._reconciler is not None:
            if self._reconciler.poll() is None:
                return
            log.error("reconciler_died", exit_code=self._reconciler.returncode)
        channel = self.channel.far.fileno()
        level = self._level.fileno()
        duty = Duty(self.id, os.getpid(), self.settings.worker_queues, kinds.known(), channel, level)
        # A fresh interpreter, not a fork: the parent has threads. It ends when the pipe to it does.
        command = [sys.executable, "-m", "app.worker.reconciler", duty.as_argument()]
        path = os.pathsep.join([_SOURCES, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        environment = {**os.environ, "PYTHONPATH": path}
        self._reconciler = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, pass_fds=(channel, level))  # noqa: S603  our own

    def stop_reconciler(self) -> None:
        process, self._reconciler = self._reconciler, None
        self.channel.close()
        if process is None:
            return
        self._hang_up(process)
        try:
            process.wait(_RECONCILER_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @staticmethod
    def _hang_up(process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            process.stdin.close()

    def shut_down(self, **_: Any) -> None:
        """Running jobs have the grace to end; what runs then is given back."""
        self.shutdown.begin(self.settings.graceful_seconds)

    def begin_child(self, **_: Any) -> None:
        """In a pool process, after the fork."""
        if self._reconciler is not None:
            self._hang_up(self._reconciler)  # our copy of its pipe would keep it alive after its worker
        # A process ends when its parent has read its last answers, or after half a minute; a parent that ends may not read
        # them any more, and they say nothing.
        billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 1
        self.child = Child(self.settings, self.id, self._release_at, self.channel.tell)

    def _release_at(self) -> float | None:
        return self._told_to_end_at or self.shutdown.release_at()

    def end_child(self, **_: Any) -> None:
        if self.child is not None:
            self.child.close()

    def run_next(self, queue: str) -> None:
        if self.child is None:
            raise RuntimeError("Jobs run in a prefork pool only")
        # Only now: the pool puts its own handlers in place after it has told us of the fork.
        before = signal.signal(signal.SIGTERM, self._give_back)
        try:
            self.child.run_next(queue)
        finally:
            signal.signal(signal.SIGTERM, before)
        if self._told_to_end_at is not None:
            signal.raise_signal(signal.SIGTERM)

    def _give_back(self, _: int, __: FrameType | None) -> None:
        # Somebody ends the whole process group at once, or this process alone: the job goes back, and no attempt is counted.
        self._told_to_end_at = time.monotonic()
        if self.child is not None:
            self.child.release()


class WorkerStep(bootsteps.StartStopStep):
    """Ties `WorkerProcess` to the life of Celery's worker."""

    requires = ("celery.worker.components:Pool", "celery.worker.components:Timer")

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._process: WorkerProcess = worker.app.worker_process()
        self._duties: list[Any] = []
        # Before the pool forks: its processes inherit the connected signals.
        signals.worker_process_init.connect(self._process.begin_child, weak=False)
        signals.worker_process_shutdown.connect(self._process.end_child, weak=False)
        signals.worker_shutting_down.connect(self._process.shut_down, weak=False)

    def start(self, worker: Any) -> None:
        self._process.keep_reconciler()
        # The pool hears of a death when its pipe closes, a moment before the process can be buried, and would look
        # again after five seconds.
        duties = self._process.keep_reconciler, worker.pool.maintain_pool
        self._duties = [worker.timer.call_repeatedly(_DUTIES_SECONDS, duty) for duty in duties]

    def stop(self, _: Any) -> None:
        for duty in self._duties:
            duty.cancel()
        self._process.stop_reconciler()
        gc.freeze()  # else the interpreter looks through all that it holds before it ends (0.7 s of CPU)

    def terminate(self, parent: Any) -> None:
        self.stop(parent)


class TaskApi(Celery):
    """Reads its settings when they are first needed: importing this module makes nothing."""

    def __init__(self, settings: Settings | None = None, handler_modules: Sequence[str] = HANDLER_MODULES) -> None:
        super().__init__("taskapi", set_as_current=False)
        self._our_settings = settings
        self._handler_modules = handler_modules
        self._worker_process: WorkerProcess | None = None
        self.on_configure.connect(self._configure, weak=False)
        self.task(name=RUN_NEXT, shared=False)(self._run_next)
        self.steps["worker"].add(WorkerStep)
        signals.setup_logging.connect(self._begin_process, weak=False)

    @property
    def our_settings(self) -> Settings:
        if self._our_settings is None:
            self._our_settings = Settings()
        return self._our_settings

    @property
    def Beat(self) -> Any:  # noqa: N802  Celery's name
        from app.core.beat import DatabaseBeat

        return self.subclass_with_self(DatabaseBeat)

    def worker_process(self) -> WorkerProcess:
        if self._worker_process is None:
            self._worker_process = WorkerProcess(self.our_settings)
        return self._worker_process

    def _channel(self) -> Channel:
        return self.worker_process().channel

    def _configure(self, **_: Any) -> None:
        load(self._handler_modules)
        self.config_from_object(celery_settings(self.our_settings, kinds.time_limits(), self._channel))
        self.conf.beat_scheduler = "app.core.beat:DatabaseScheduler"

    def _run_next(self, queue: str) -> None:
        self.worker_process().run_next(queue)

    def _begin_process(self, **_: Any) -> None:
        profiling.offer()
        logging.configure(self.our_settings.log_level, self.our_settings.log_format)


app = TaskApi()
