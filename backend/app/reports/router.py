"""`POST /reports` over HTTP."""

from fastapi import APIRouter, Response

from app.identity.dependencies import CurrentCaller
from app.jobs.dependencies import accepted
from app.jobs.schemas import JobOut
from app.reports import service
from app.reports.schemas import ReportIn
from app.web.routing import Route
from app.web.session import SessionDep, SettingsDep

router = APIRouter(prefix="/reports", tags=["reports"], route_class=Route)


@router.post("", status_code=202, response_model=JobOut, summary="Order a report")
async def order_report(caller: CurrentCaller, body: ReportIn, session: SessionDep, settings: SettingsDep) -> Response:
    """What was created and done, what is late, by person and by label, with charts.

    Answers with the job; its result names the file, which is kept for 30 days.
    """
    return accepted(await service.order(session, caller.scope, caller.user_id, body, settings.jobs_per_user))
