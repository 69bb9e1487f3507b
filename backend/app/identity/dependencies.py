"""Who is calling, for routes: `CurrentCaller` and `CurrentSuperuser`."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.openapi.models import OAuth2 as OAuth2Model
from fastapi.openapi.models import OAuthFlowPassword, OAuthFlows
from fastapi.security.base import SecurityBase

from app.identity.caller import Caller
from app.identity.parts import Identity
from app.identity.tokens import InvalidTokenError
from app.kit.errors import PermissionDenied, Unauthenticated


class SuperuserRequired(PermissionDenied):
    code, title = "superuser_required", "This takes a superuser"


class _SignedIn(SecurityBase):
    """Reads the header itself and depends on nothing, because it runs on nearly every request."""

    model = OAuth2Model(
        flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl="/auth/login", refreshUrl="/auth/refresh")),
        description="The access token of `POST /auth/login`, as `Authorization: Bearer ...`.",
    )
    scheme_name = "access_token"

    async def __call__(self, request: Request) -> Caller:
        return await authenticate(request)


class _Superuser(_SignedIn):
    async def __call__(self, request: Request) -> Caller:
        caller = await authenticate(request)
        if not caller.is_superuser:
            raise SuperuserRequired
        return caller


async def authenticate(request: Request) -> Caller:
    """The caller named by the bearer token. Raises Unauthenticated, with the same words for every cause."""
    header = _authorization(request)
    if header is None:
        raise Unauthenticated
    scheme, _, token = header.partition(b" ")
    identity: Identity = request.app.state.identity
    try:
        claims = identity.access_tokens.verify(token.decode("ascii"))
    except (InvalidTokenError, UnicodeDecodeError):
        raise Unauthenticated(error="invalid_token") from None
    caller = await identity.callers.find(claims)
    if caller is None or scheme.lower() != b"bearer":
        raise Unauthenticated(error="invalid_token")
    request.state.caller_id = caller.user_id
    return caller


async def is_signed_in(request: Request) -> bool:
    """Whether the token still counts: for answers that go on after the request was let in."""
    try:
        await authenticate(request)
    except Unauthenticated:
        return False
    return True


def _authorization(request: Request) -> bytes | None:
    # The middleware refuses a request with two of them.
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            return bytes(value)
    return None


CurrentCaller = Annotated[Caller, Depends(_SignedIn())]
CurrentSuperuser = Annotated[Caller, Depends(_Superuser())]
