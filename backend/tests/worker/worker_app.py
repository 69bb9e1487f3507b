"""A worker that knows the kinds of these tests beside its own: `celery -A worker_app worker`."""

from app.core.celery_app import TaskApi
from app.core.job_modules import HANDLER_MODULES

app = TaskApi(handler_modules=(*HANDLER_MODULES, "job_kinds"))
