from fastapi import Response

from app.jobs.repository import SHOWN
from app.jobs.schemas import JOB
from app.models import Job
from app.web.responses import json_answer


def accepted(job: Job) -> Response:
    """The answer to a request whose work takes time: 202, where to look, and the job as it was enqueued."""
    return json_answer(JOB, {name: getattr(job, name) for name in SHOWN}, 202, {"Location": f"/jobs/{job.id}"})
