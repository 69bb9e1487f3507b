"""A worker that knows the kinds of these tests beside its own: `celery -A worker_app worker`."""

from app.core.celery_app import HANDLER_MODULES, TaskApi

app = TaskApi(handler_modules=(*HANDLER_MODULES, "job_kinds"))
