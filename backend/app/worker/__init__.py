"""Jobs without HTTP: declare a kind, enqueue it, run it.

A row in PostgreSQL is all there is to a job. A claim with a lease and a fencing token makes each attempt exclusive, the
reconciler makes lost messages harmless, `RunningJob.effect` makes repeats harmless.
"""

from app.worker.enqueuing import enqueue, enqueue_parent
from app.worker.errors import Cancelled, LeaseLost, Permanent, Retry
from app.worker.kinds import JobArgs, handler
from app.worker.relay import Relay
from app.worker.running import RunningJob

__all__ = [
    "Cancelled",
    "JobArgs",
    "LeaseLost",
    "Permanent",
    "Relay",
    "Retry",
    "RunningJob",
    "enqueue",
    "enqueue_parent",
    "handler",
]
