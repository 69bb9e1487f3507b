"""`POST /emails` over HTTP."""

from fastapi import APIRouter, Response

from app.identity.dependencies import CurrentSuperuser
from app.jobs.dependencies import accepted
from app.jobs.schemas import JobOut
from app.mailings import service
from app.mailings.schemas import MailingCreate
from app.web.routing import Route, no_deadline
from app.web.session import SessionDep

router = APIRouter(prefix="/emails", tags=["mail"], route_class=Route)


@router.post("", status_code=202, response_model=JobOut, summary="Send a message to many")
@no_deadline
async def send_emails(caller: CurrentSuperuser, body: MailingCreate, session: SessionDep) -> Response:
    """Answers with a job whose children each send to one address; its progress counts them. For superusers.

    Either all of it is enqueued or nothing. Addresses that asked for no mail, or were refused for good, get none.
    """
    return accepted(await service.send(session, caller, body))
