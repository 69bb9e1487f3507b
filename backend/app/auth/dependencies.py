"""What the account routes ask of a request."""

from typing import Annotated, cast

from fastapi import Depends, Request

from app.auth import repository
from app.auth.errors import RegistrationClosed
from app.identity.dependencies import CurrentCaller
from app.identity.parts import Identity
from app.identity.sessions import Device
from app.models import User
from app.web.client_address import client_address
from app.web.preconditions import IfMatch, require_match
from app.web.session import SessionDep, SettingsDep

_USER_AGENT_MAX = 300


async def get_identity(request: Request) -> Identity:
    return cast("Identity", request.app.state.identity)


async def get_device(request: Request) -> Device:
    agent = request.headers.get("user-agent")
    return Device(client_address(request.scope), agent[:_USER_AGENT_MAX] if agent else None)


async def require_open_registration(settings: SettingsDep) -> None:
    if not settings.registration_enabled:
        raise RegistrationClosed


async def me_to_change(
    caller: CurrentCaller, session: SessionDep, settings: SettingsDep, if_match: IfMatch = None
) -> User:
    """The caller's user, locked, and of the version that `If-Match` names."""
    user = await repository.locked_user(session, caller.user_id)
    require_match(if_match, user.version, required=settings.require_if_match)
    return user


IdentityDep = Annotated[Identity, Depends(get_identity)]
DeviceDep = Annotated[Device, Depends(get_device)]
MeToChange = Annotated[User, Depends(me_to_change, scope="function")]
