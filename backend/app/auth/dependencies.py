"""What the account routes ask of a request."""

from typing import Annotated, cast

from fastapi import Depends, Request

from app.auth.errors import RegistrationClosed
from app.identity.parts import Identity
from app.identity.sessions import Device
from app.web.client_address import client_address
from app.web.session import SettingsDep

_USER_AGENT_MAX = 300


async def get_identity(request: Request) -> Identity:
    return cast("Identity", request.app.state.identity)


async def get_device(request: Request) -> Device:
    agent = request.headers.get("user-agent")
    return Device(client_address(request.scope), agent[:_USER_AGENT_MAX] if agent else None)


async def require_open_registration(settings: SettingsDep) -> None:
    if not settings.registration_enabled:
        raise RegistrationClosed


IdentityDep = Annotated[Identity, Depends(get_identity)]
DeviceDep = Annotated[Device, Depends(get_device)]
