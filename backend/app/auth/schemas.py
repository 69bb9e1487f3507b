"""Accounts on the wire."""

from typing import Annotated, Literal, NotRequired
from uuid import UUID

from pydantic import MISSING, AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict  # pydantic asks for it on Python 3.11

from app.identity.throttle import canonical
from app.infra.settings import Settings
from app.kit.schema import Email, StrictModel, Text, TimeZone, UtcTime
from app.web.listing import ListQuery, sort_by

PASSWORD_MAX_BYTES = 1023
_MIN_LENGTH = Settings.model_fields["password_min_length"].default


def _under_a_kilobyte(value: str) -> str:
    if len(value.encode()) > PASSWORD_MAX_BYTES:
        raise PydanticCustomError("password_too_long", "A password takes less than 1 kB")
    return value


def _plain(value: str) -> str:
    if canonical(value) != value:
        raise PydanticCustomError("address_not_plain", "Write the address in plain characters, without full-width ones")
    return value


Address = Annotated[Email, AfterValidator(_plain), Field(examples=["ana@example.com"])]
Password = Annotated[
    str,
    Text(PASSWORD_MAX_BYTES),
    AfterValidator(_under_a_kilobyte),
    Field(repr=False, json_schema_extra={"format": "password"}),
]
NewPassword = Annotated[
    Password,
    Field(
        description="Any characters, also spaces; at least as many as the operator asks for (12), less than 1 kB. "
        "Common ones are refused.",
        examples=["correct horse battery staple"],
        json_schema_extra={"format": "password", "minLength": _MIN_LENGTH},
    ),
]
Name = Annotated[str, Text(200, min_length=1, blank=False), Field(examples=["Ana"])]
RefreshToken = Annotated[str, Text(200, min_length=1), Field(repr=False, examples=["rt_0fS1..."])]


class Registration(StrictModel):
    """A new account."""

    email: Address
    password: NewPassword
    name: Name | None = None


class LoginForm(StrictModel):
    """The form of the OAuth2 password grant (RFC 6749 4.3.2): no clients to authenticate, no scopes to choose."""

    username: Annotated[
        str, Text(320, min_length=1), Field(description="The e-mail address.", examples=["ana@example.com"])
    ]
    password: Annotated[Password, Field(examples=["correct horse battery staple"])]
    grant_type: Literal["password"] = "password"
    scope: Annotated[str, Text(500)] = ""
    client_id: Annotated[str, Text(500)] = ""
    client_secret: Annotated[str, Text(500), Field(repr=False)] = ""


class RefreshRequest(StrictModel):
    refresh_token: RefreshToken


class TokensOut(BaseModel):
    """What a client keeps: the access token for its requests, the refresh token for the next pair."""

    access_token: str = Field(repr=False, examples=["eyJhbGciOi..."])
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  no secret
    expires_in: int = Field(description="Seconds until the access token expires.", examples=[900])
    refresh_token: str = Field(repr=False, description="Good for one use.", examples=["rt_0fS1..."])


class UserOut(BaseModel):
    """You, as only you see it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: str = Field(examples=["ana@example.com"])
    name: str | None = Field(examples=["Ana"])
    time_zone: str = Field(description="IANA name.", examples=["Europe/Berlin"])
    is_superuser: bool = Field(examples=[False])
    email_verified_at: UtcTime | None
    created_at: UtcTime
    updated_at: UtcTime
    version: int


class AcceptedOut(BaseModel):
    """Says nothing about whether the address had an account."""

    status: Literal["accepted"] = "accepted"


class ProfilePatch(StrictModel):
    """A JSON merge patch (RFC 7396): only the fields sent are touched, null clears the name."""

    name: Name | MISSING | None = MISSING
    time_zone: Annotated[TimeZone, Field(examples=["Europe/Berlin"])] | MISSING = MISSING


class PasswordChange(StrictModel):
    current_password: Password
    new_password: NewPassword


class SessionOut(BaseModel):
    """A sign-in: where from, and when."""

    id: UUID
    user_agent: str | None = Field(description="What the client called itself.", examples=["Mozilla/5.0 ..."])
    address: str | None = Field(description="Where it signed in from; of IPv6 the /64.", examples=["203.0.113.7"])
    created_at: UtcTime
    last_used_at: UtcTime = Field(description="When it signed in or was last refreshed.")
    expires_at: UtcTime = Field(description="When it ends without another refresh.")
    current: bool = Field(description="Whether it is the one that asks.")


class SessionPage(TypedDict):
    items: list[SessionOut]
    next_cursor: str | None
    total_count: NotRequired[int]


class SessionQuery(ListQuery):
    sort: str | None = sort_by("created_at", "last_used_at", default="-created_at")
