"""The one family of expected errors; `core.exception_handlers` renders each as RFC 9457 problem+json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one part of the input.

    `pointer` is an RFC 6901 JSON pointer into the body, or `?name` for a query parameter; `code` is stable, snake_case.
    Neither `code` nor `message` ever repeats the value that was sent.
    """

    pointer: str
    code: str
    message: str


class AppError(Exception):
    """An outcome that the caller can act on. Derive it, never raise it bare."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal server error"

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


class BadRequest(AppError):
    code, status, title = "bad_request", 400, "The request is malformed"


class Unauthenticated(AppError):
    """Carries `WWW-Authenticate` (RFC 6750) and says the same for every cause."""

    code, status, title = "unauthenticated", 401, "Sign in to do this"

    def __init__(self, detail: str | None = None, *, error: str | None = None) -> None:
        challenge = 'Bearer realm="task-management-api"' + (f', error="{error}"' if error else "")
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class PermissionDenied(AppError):
    code, status, title = "permission_denied", 403, "You may not do this"


class NotFound(AppError):
    """Also the answer for what the caller may not see."""

    code, status, title = "not_found", 404, "There is no such resource"


class MethodNotAllowed(AppError):
    code, status, title = "method_not_allowed", 405, "This resource does not take that method"


class NotAcceptable(AppError):
    code, status, title = "not_acceptable", 406, "None of the accepted media types is available"


class Conflict(AppError):
    code, status, title = "conflict", 409, "The resource is in another state"


class PreconditionFailed(AppError):
    code, status, title = "precondition_failed", 412, "The resource has changed since you read it"


class PayloadTooLarge(AppError):
    code, status, title = "payload_too_large", 413, "The request body is too large"


class UnsupportedMediaType(AppError):
    code, status, title = "unsupported_media_type", 415, "The request body is of the wrong media type"


class InvalidInput(AppError):
    code, status, title = "validation_error", 422, "The input is not valid"


class InvalidReference(InvalidInput):
    """A reference to what is not there, or not the caller's: the same words for both."""

    code, title = "invalid_reference", "The input refers to something that does not exist"

    def __init__(self, *pointers: str) -> None:
        super().__init__(errors=[FieldProblem(pointer, self.code, "This does not exist") for pointer in pointers])


class PreconditionRequired(AppError):
    code, status, title = "precondition_required", 428, "Send If-Match with the ETag you read"


class RateLimited(AppError):
    code, status, title = "rate_limited", 429, "Too many requests"

    def __init__(
        self, detail: str | None = None, *, retry_after: int, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail, headers={**(headers or {}), "Retry-After": str(max(1, retry_after))})


class Unavailable(AppError):
    code, status, title = "unavailable", 503, "The service cannot do this right now"

    def __init__(self, detail: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(max(1, retry_after))})


def invalid(pointer: str, code: str, message: str) -> InvalidInput:
    """One field is wrong: the usual 422."""
    return InvalidInput(message, errors=[FieldProblem(pointer, code, message)])
