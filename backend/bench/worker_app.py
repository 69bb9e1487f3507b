"""The shipped worker, which also knows the job of the benchmark: `celery -A bench.worker_app worker`."""

from app.core.celery_app import HANDLER_MODULES, TaskApi

app = TaskApi(handler_modules=(*HANDLER_MODULES, "bench.job_kinds"))
