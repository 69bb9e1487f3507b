import asyncio
from typing import Annotated, cast

from fastapi import Depends, Request, Response

from app.jobs.repository import SHOWN
from app.jobs.schemas import JOB, shown
from app.models import Job
from app.web.responses import json_answer


def accepted(job: Job) -> Response:
    """The answer to a request whose work takes time: 202, where to look, and the job as it was enqueued."""
    return json_answer(JOB, shown({name: getattr(job, name) for name in SHOWN}), 202, {"Location": f"/jobs/{job.id}"})


async def get_draining(request: Request) -> asyncio.Event:
    return cast("asyncio.Event", request.app.state.lifecycle.told_to_drain)


DrainingDep = Annotated[asyncio.Event, Depends(get_draining)]
"""Set when the process is about to stop: streams end then."""
