"""`/auth` over HTTP."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Response

from app.auth import repository, service
from app.auth.dependencies import DeviceDep, IdentityDep, require_open_registration
from app.auth.errors import EmailTaken, InvalidRefreshToken
from app.auth.schemas import (
    AcceptedOut,
    LoginForm,
    PasswordChange,
    ProfilePatch,
    RefreshRequest,
    Registration,
    SessionPage,
    SessionQuery,
    TokensOut,
    UserOut,
)
from app.identity import sessions
from app.identity.dependencies import CurrentCaller
from app.identity.parts import Identity
from app.identity.sessions import SignIn
from app.kit.errors import NotFound
from app.models import User
from app.web.preconditions import IfMatch, IfNoneMatch, etag, require_match
from app.web.problems import Problem
from app.web.query import SentQuery
from app.web.rate_limits import LimitedByAddress, Quota
from app.web.responses import unless_known
from app.web.routing import Route, never_replayed
from app.web.session import CursorsDep, DatabaseDep, SessionDep, SettingsDep, WorkDep

router = APIRouter(prefix="/auth", tags=["auth"], route_class=Route)

LOGIN_LIMIT = LimitedByAddress(Quota("login", 30, 60), Quota("login-in-all", 3000, 60))
REGISTER_LIMIT = LimitedByAddress(Quota("register", 30, 60), Quota("register-in-all", 1000, 60))
HIDDEN_SECONDS = 0.3
"""How long registering takes where it must not show whether the address had an account: more than the work itself."""


def _problem(description: str) -> dict[str, Any]:
    return {"model": Problem, "description": description}


def _tokens(identity: Identity, sign_in: SignIn) -> TokensOut:
    access = identity.access_tokens
    return TokensOut(
        access_token=access.issue(sign_in.session_id, sign_in.user_id),
        expires_in=access.lifetime,
        refresh_token=sign_in.refresh_token,
    )


@router.post(
    "/register",
    status_code=201,
    response_model=UserOut,
    summary="Register",
    dependencies=[Depends(REGISTER_LIMIT), Depends(require_open_registration)],
    responses={
        202: {"model": AcceptedOut, "description": "Always, where the operator hides which addresses have an account"},
        403: _problem("Only the operator makes accounts here"),
        409: _problem("The address has an account"),
    },
)
@never_replayed
async def register(
    body: Registration, database: DatabaseDep, identity: IdentityDep, settings: SettingsDep, response: Response
) -> Any:
    """A new account, with a personal workspace and an inbox in it; sign in to use it."""
    until = asyncio.get_running_loop().time() + HIDDEN_SECONDS
    password_hash = await service.hash_new_password(identity, settings, body.password, email=body.email)
    # Its own transaction: the wait below must come after the commit, which takes time only where something was written.
    async with database.transaction() as session:
        user = await service.create_account(session, email=body.email, password_hash=password_hash, name=body.name)
    if settings.registration_hide_existing:
        await asyncio.sleep(until - asyncio.get_running_loop().time())
        return Response(AcceptedOut().model_dump_json(), 202, dict(response.headers), "application/json")
    if user is None:
        raise EmailTaken
    response.headers.update({"Location": "/auth/me", "ETag": etag(user.version)})
    return user


@router.post(
    "/login",
    summary="Sign in",
    dependencies=[Depends(LOGIN_LIMIT)],
    responses={
        401: _problem("The address or the password is wrong; which of them is not said"),
        429: _problem("Too many attempts from this address or on this account: wait for `Retry-After`"),
    },
)
@never_replayed
async def login(
    form: Annotated[LoginForm, Form()],
    device: DeviceDep,
    database: DatabaseDep,
    session: SessionDep,
    identity: IdentityDep,
    settings: SettingsDep,
) -> TokensOut:
    """The OAuth2 password form: `username` is the e-mail address. The access token lasts 15 minutes; refresh it."""
    user_id, attempt = await service.check_password(database, identity, form.username, form.password, device.address)
    return _tokens(identity, await service.sign_in(session, identity, settings, user_id, attempt, device))


@router.post(
    "/refresh",
    summary="Refresh",
    responses={401: _problem("The refresh token does not count, or no longer")},
)
@never_replayed
async def refresh(
    body: RefreshRequest, database: DatabaseDep, identity: IdentityDep, settings: SettingsDep
) -> TokensOut:
    """The next pair of tokens. Within 30 seconds the same refresh token gives the same next one, for lost answers.

    Later a used token is a sign of theft: it ends the session, and whoever holds its tokens has to sign in again.
    """
    # Its own transaction: what a refusal revoked has to be committed.
    async with database.transaction() as session:
        sign_in = await sessions.rotate(
            session, identity.refresh_tokens, body.refresh_token, service.lifetime(settings)
        )
    if sign_in is None:
        session_id = identity.refresh_tokens.session_of(body.refresh_token)
        if session_id is not None:
            identity.callers.forget(session_id)
        raise InvalidRefreshToken
    return _tokens(identity, sign_in)


@router.post("/logout", status_code=204, summary="Sign out")
@never_replayed
async def logout(body: RefreshRequest, database: DatabaseDep, identity: IdentityDep) -> None:
    """Ends the session of a refresh token, its access tokens included. A token that does not count is no error."""
    session_id = identity.refresh_tokens.session_of(body.refresh_token)
    if session_id is not None:
        await sessions.end(database, session_id)
        identity.callers.forget(session_id)


@router.post("/logout-all", status_code=204, summary="Sign out everywhere")
@never_replayed
async def logout_everywhere(caller: CurrentCaller, database: DatabaseDep, identity: IdentityDep) -> None:
    """Ends all your sessions, this one too."""
    for session_id in await sessions.end_all(database, caller.user_id):
        identity.callers.forget(session_id)


@router.get("/sessions", response_model=SessionPage, summary="List your sessions")
async def list_sessions(
    caller: CurrentCaller,
    query: Annotated[SessionQuery, Depends(SentQuery(SessionQuery))],
    work: WorkDep,
    cursors: CursorsDep,
) -> Any:
    """Where you are signed in, newest first, in pages."""
    return await sessions.page(work, cursors, query, caller.user_id, caller.session_id)


@router.delete("/sessions/{session_id:uuid}", status_code=204, summary="End a session")
async def end_session(caller: CurrentCaller, session_id: UUID, database: DatabaseDep, identity: IdentityDep) -> None:
    """Signs a device out: its tokens count no more."""
    if not await sessions.end_of_user(database, caller.user_id, session_id):
        raise NotFound
    identity.callers.forget(session_id)


@router.get(
    "/me", response_model=UserOut, summary="Read your profile", responses={304: {"description": "Not modified"}}
)
async def read_me(
    caller: CurrentCaller, session: SessionDep, response: Response, if_none_match: IfNoneMatch = None
) -> Any:
    """Who you are."""
    return unless_known(response, await repository.user(session, caller.user_id), if_none_match)


@router.patch("/me", response_model=UserOut, summary="Change your profile")
@never_replayed
async def update_me(
    caller: CurrentCaller,
    body: ProfilePatch,
    session: SessionDep,
    settings: SettingsDep,
    response: Response,
    if_match: IfMatch = None,
) -> User:
    """A JSON merge patch: only the fields sent are touched."""
    user = await repository.locked_user(session, caller.user_id)
    require_match(if_match, user.version, required=settings.require_if_match)
    service.update_profile(user, body.model_dump())
    response.headers["ETag"] = etag(user.version)
    return user


@router.post(
    "/me/password",
    status_code=204,
    summary="Change your password",
    responses={429: _problem("Too many wrong passwords: wait for `Retry-After`")},
)
@never_replayed
async def change_password(
    caller: CurrentCaller,
    body: PasswordChange,
    device: DeviceDep,
    database: DatabaseDep,
    identity: IdentityDep,
    settings: SettingsDep,
) -> None:
    """Takes the current password, and ends all your other sessions."""
    email, attempt = await service.confirm_password(
        database, identity, caller.user_id, body.current_password, device.address
    )
    password_hash = await service.hash_new_password(
        identity, settings, body.new_password, email=email, pointer="/new_password"
    )
    async with database.transaction() as session:
        ended = await service.change_password(
            session, identity, attempt, user_id=caller.user_id, password_hash=password_hash, keep=caller.session_id
        )
    for session_id in ended:
        identity.callers.forget(session_id)
