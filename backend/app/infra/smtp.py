"""The way out for mail: an SMTP server, or a folder where there is none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiosmtplib
import structlog
from aiosmtplib import SMTP, errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.infra.settings import Settings

log = structlog.get_logger(__name__)

STEP_TIMEOUT = 10.0
"""Seconds that the server may take for one answer."""
TIMEOUT = 45.0
"""Seconds for all of it."""
_FOR_GOOD = 500
_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b")
_MAILBOX_REFUSED = {550, 551, 553}
"""Without an enhanced code: no such mailbox, not here, not a name (RFC 5321 4.2.3)."""


class MailFailed(Exception):
    """The message was not taken, as far as we know."""

    def __init__(self, code: str, message: str, *, permanent: bool = False, address_refused: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.permanent = permanent
        """The same message would be refused again."""
        self.address_refused = address_refused
        """It is the recipient's address that is refused, for whatever message."""


async def send(settings: Settings, *, sender: str, recipient: str, data: bytes, name: str) -> None:
    """Hands the message over. Raises MailFailed.

    Without `SMTP_HOST` it becomes the file `name`.eml in the folder `mail` of the stored files.
    """
    if settings.smtp_host is None:
        await asyncio.to_thread(_keep, settings, data, name)
        return
    async with _connected(settings, sender) as server:
        await _hand_over(server, sender, recipient, data)


async def greet(settings: Settings) -> None:
    """Connects to `SMTP_HOST` as for a message, encryption and sign-in included, and sends none. Raises MailFailed."""
    async with _connected(settings, settings.mail_from):
        pass


@asynccontextmanager
async def _connected(settings: Settings, sender: str) -> AsyncIterator[SMTP]:
    server = _server(settings, sender)
    try:
        async with asyncio.timeout(TIMEOUT):
            await server.connect()
            yield server
    except aiosmtplib.SMTPResponseException as error:
        raise _judged(error) from error
    except ssl.SSLError as error:
        raise MailFailed("smtp_tls_failed", "The mail server's encryption or certificate does not hold") from error
    except (OSError, TimeoutError) as error:
        raise MailFailed("smtp_unreachable", f"The connection failed ({type(error).__name__})") from error
    except aiosmtplib.SMTPException as error:
        raise MailFailed("smtp_not_offered", "The mail server offers no STARTTLS, or no sign-in") from error
    finally:
        # What it says now changes nothing any more.
        with contextlib.suppress(aiosmtplib.SMTPException, OSError):
            await server.quit(timeout=1)
        server.close()


def _server(settings: Settings, sender: str) -> SMTP:
    password = settings.smtp_password
    return SMTP(
        hostname=settings.smtp_host,
        port=settings.smtp_port,
        start_tls=settings.smtp_starttls,
        tls_context=ssl.create_default_context() if settings.smtp_starttls else None,
        username=settings.smtp_username,
        password=password.get_secret_value() if password is not None else None,
        # This machine's own name would be asked of the DNS, which may take long.
        local_hostname=sender.rpartition("@")[2],
        timeout=STEP_TIMEOUT,
    )


async def _hand_over(server: SMTP, sender: str, recipient: str, data: bytes) -> None:
    await server.ehlo()
    if (sender + recipient).isascii():
        await server.mail(sender)
        await server.rcpt(recipient)
    elif server.supports_extension("smtputf8"):
        await server.mail(sender, options=["SMTPUTF8"], encoding="utf-8")
        await server.rcpt(recipient, encoding="utf-8")
    else:
        raise MailFailed("smtputf8_not_offered", "The mail server takes ASCII addresses only", permanent=True)
    await server.data(data)


_STEPS: dict[type[Exception], str] = {
    errors.SMTPAuthenticationError: "AUTH",
    errors.SMTPSenderRefused: "MAIL",
    errors.SMTPRecipientRefused: "RCPT",
    errors.SMTPDataError: "DATA",
}


def _judged(error: aiosmtplib.SMTPResponseException) -> MailFailed:
    """5yz is for good, 4yz and whatever is not SMTP may pass (RFC 5321 4.2.1)."""
    step = _STEPS.get(type(error), "the connection")
    enhanced = match[1] if (match := _ENHANCED.match(error.message)) else None
    permanent = error.code >= _FOR_GOOD
    # RFC 3463: 5.1.x is about the address, 5.2.1 a mailbox that is switched off; 5.7.x is about us.
    is_address = enhanced.startswith("5.1.") or enhanced == "5.2.1" if enhanced else error.code in _MAILBOX_REFUSED
    log.warning("mail_refused", step=step, code=error.code, enhanced=enhanced, permanent=permanent)
    return MailFailed(
        "mail_refused" if permanent else "mail_deferred",
        f"The mail server answered {error.code}{f' {enhanced}' if enhanced else ''} to {step}",
        permanent=permanent,
        address_refused=permanent and step == "RCPT" and is_address,
    )


def _keep(settings: Settings, data: bytes, name: str) -> None:
    folder = Path(settings.storage_dir) / "mail"
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{name}.{os.getpid()}.tmp"
    unfinished.write_bytes(data)
    unfinished.replace(folder / f"{name}.eml")
