"""The shipped worker, which also knows the job of the benchmark: `celery -A bench.worker_app worker`."""

from app.core.celery_app import TaskApi
from app.core.job_modules import HANDLER_MODULES

app = TaskApi(handler_modules=(*HANDLER_MODULES, "bench.job_kinds"))
