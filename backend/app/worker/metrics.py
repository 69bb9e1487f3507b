"""The figures of one worker: kept in its reconciler, from what its pool processes tell."""

from __future__ import annotations

import time
from typing import Any

import psutil
from prometheus_client import Counter, Gauge, Histogram

from app.infra.metrics import new_registry
from app.infra.settings import Settings
from app.models.schedule import RUN_OUTCOMES

_DURATIONS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800)
_LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 600)
LOST = ("lease_expired", "worker_died", "poison")
"""Why a job is taken back from an attempt (`repository.RESCUE`)."""
_OUTCOMES = {"scheduled": "retried", "available": "released", None: "lease_lost"}
"""What became of an attempt, where that is another word than the job's new state."""


class WorkerMetrics:
    """`worker_pid` is whose memory is shown, with its children's."""

    def __init__(self, worker_pid: int, settings: Settings) -> None:
        self.registry = new_registry(settings)
        self._worker_pid = worker_pid
        self._worked: float | None = None
        self._attempts = self._counter("taskapi_job_attempts", "Attempts begun.", "kind")
        self._ended = self._counter(
            "taskapi_job_attempts_ended",
            "Attempts ended, by what became of them; and as `discarded` the jobs that the reconciler ends without one.",
            "kind",
            "outcome",
        )
        self._rescued = self._counter("taskapi_jobs_rescued", "Jobs taken back from attempts that were lost.", "reason")
        # A series that begins with its first event shows no increase by it.
        for reason in LOST:
            self._rescued.labels(reason)
        self._surplus = self._counter("taskapi_messages_surplus", "Messages that found no job.", "queue")
        self._foreign = self._counter("taskapi_messages_foreign", "Items in Redis that none of our processes wrote.")
        self._duration = Histogram(
            "taskapi_job_duration_seconds",
            "Time that an attempt took.",
            ("kind",),
            buckets=_DURATIONS,
            registry=self.registry,
        )
        self._latency = Histogram(
            "taskapi_job_start_latency_seconds",
            "Time from when a job was due to the start of its first attempt.",
            ("queue",),
            buckets=_LATENCIES,
            registry=self.registry,
        )
        slots = Gauge("taskapi_worker_slots", "Jobs that the worker can run at once.", registry=self.registry)
        slots.set(settings.worker_concurrency)
        memory = "Memory of the worker and its pool processes (resident; pages that they share count for each)."
        Gauge("taskapi_worker_memory_bytes", memory, registry=self.registry).set_function(self._memory)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, labels, registry=self.registry)

    @property
    def seconds_since_work(self) -> float | None:
        """Since an attempt last began here; None before the first."""
        return None if self._worked is None else time.monotonic() - self._worked

    def take(self, fact: dict[str, Any]) -> None:
        match fact:
            case {"fact": "began", "kind": kind, "queue": queue, "latency": latency}:
                self._worked = time.monotonic()
                self._attempts.labels(kind).inc()
                if latency is not None:
                    self._latency.labels(queue).observe(latency)
            case {"fact": "ended", "kind": kind, "state": state, "seconds": seconds}:
                self._ended.labels(kind, _OUTCOMES.get(state, state)).inc()
                self._duration.labels(kind).observe(seconds)
            case {"fact": "surplus", "queue": queue}:
                self._surplus.labels(queue).inc()
            case {"fact": "foreign"}:
                self._foreign.inc()

    def rescued(self, reason: str) -> None:
        self._rescued.labels(reason).inc()

    def ended_by_reconciler(self, kind: str, state: str) -> None:
        """A job in its new state: lost with its last attempt, past its deadline, or a parent."""
        if state == "discarded":
            self._ended.labels(kind, state).inc()

    def _memory(self) -> float:
        try:
            worker = psutil.Process(self._worker_pid)
            return float(sum(one.memory_info().rss for one in (worker, *worker.children())))
        except psutil.NoSuchProcess:
            return 0.0


class BeatMetrics:
    def __init__(self, settings: Settings) -> None:
        self.registry = new_registry(settings)
        self.ticks = Counter("taskapi_beat_ticks", "Looks for due slots.", ("outcome",), registry=self.registry)
        self.slots = Counter(
            "taskapi_schedule_slots",
            "Slots that this beat handled, by what became of each (a queued one is not counted again).",
            ("outcome",),
            registry=self.registry,
        )
        for outcome in RUN_OUTCOMES:
            self.slots.labels(outcome)
        self.lag = Gauge(
            "taskapi_beat_lag_seconds",
            "After the last look, how late the slot was that is due first.",
            registry=self.registry,
        )
