"""What can go wrong with an account."""

from app.kit.errors import Conflict, PermissionDenied, Unauthenticated


class EmailTaken(Conflict):
    code, title = "email_taken", "There is an account with this address already"


class RegistrationClosed(PermissionDenied):
    code, title = "registration_closed", "Accounts are made by the operator here"


class InvalidCredentials(Unauthenticated):
    """The same for an unknown address, a wrong password and a disabled account."""

    code, title = "invalid_credentials", "The address or the password is wrong"


class InvalidRefreshToken(Unauthenticated):
    """The same for a token that is unknown, expired, rotated or signed out."""

    code, title = "invalid_refresh_token", "Sign in again: this refresh token does not count"

    def __init__(self) -> None:
        super().__init__(error="invalid_token")
