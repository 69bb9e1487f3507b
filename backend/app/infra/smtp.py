"""The way out for mail: an SMTP server, or a folder where there is none."""

from __future__ import annotations

import contextlib
import os
import re
import smtplib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from app.infra.settings import Settings

log = structlog.get_logger(__name__)

TIMEOUT = 10.0
"""Seconds for each step of the conversation."""
_OK = {250, 251}
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


def send(settings: Settings, *, sender: str, recipient: str, data: bytes, name: str) -> None:
    """Hands the message over; takes as long as the server does. Raises MailFailed.

    Without `SMTP_HOST` it becomes the file `name`.eml in the folder `mail` of the stored files.
    """
    if settings.smtp_host is None:
        _keep(settings, data, name)
        return
    try:
        _converse(settings, settings.smtp_host, sender, recipient, data)
    except smtplib.SMTPResponseException as error:
        raise _judged("connection", error.smtp_code, error.smtp_error) from error
    except smtplib.SMTPNotSupportedError as error:
        raise MailFailed("smtp_not_offered", "The mail server offers no STARTTLS, or no sign-in") from error
    except ssl.SSLError as error:
        raise MailFailed("smtp_tls_failed", "The mail server's encryption or certificate does not hold") from error
    except (smtplib.SMTPException, OSError) as error:
        raise MailFailed("smtp_unreachable", f"The connection failed ({type(error).__name__})") from error


def _converse(settings: Settings, host: str, sender: str, recipient: str, data: bytes) -> None:
    # Its own name would be asked of the DNS, which may take long.
    own_name = sender.rpartition("@")[2]
    server = smtplib.SMTP(host, settings.smtp_port, local_hostname=own_name, timeout=TIMEOUT)
    try:
        if settings.smtp_starttls:
            server.starttls(context=ssl.create_default_context())
        if settings.smtp_username is not None and settings.smtp_password is not None:
            server.login(settings.smtp_username, settings.smtp_password.get_secret_value())
        server.ehlo_or_helo_if_needed()
        _hand_over(server, sender, recipient, data)
    finally:
        # What it says now changes nothing any more.
        with contextlib.suppress(smtplib.SMTPException, OSError):
            server.quit()
        server.close()


def _hand_over(server: smtplib.SMTP, sender: str, recipient: str, data: bytes) -> None:
    options = []
    if not (sender + recipient).isascii():
        if not server.has_extn("smtputf8"):
            raise MailFailed("smtputf8_not_offered", "The mail server takes ASCII addresses only", permanent=True)
        options = ["SMTPUTF8"]
        server.command_encoding = "utf-8"
    _expect("MAIL", *server.mail(sender, options))
    _expect("RCPT", *server.rcpt(recipient))
    try:
        _expect("DATA", *server.data(data))
    except smtplib.SMTPDataError as error:
        raise _judged("DATA", error.smtp_code, error.smtp_error) from error


def _expect(step: str, code: int, said: bytes) -> None:
    if code not in _OK:
        raise _judged(step, code, said)


def _judged(step: str, code: int, said: bytes | str) -> MailFailed:
    """5yz is for good, 4yz and whatever is not SMTP may pass (RFC 5321 4.2.1)."""
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    enhanced = match[1] if (match := _ENHANCED.match(text)) else None
    permanent = code >= _FOR_GOOD
    # RFC 3463: 5.1.x is about the address, 5.2.1 a mailbox that is switched off; 5.7.x is about us.
    about_address = enhanced.startswith("5.1.") or enhanced == "5.2.1" if enhanced else code in _MAILBOX_REFUSED
    log.warning("mail_refused", step=step, code=code, enhanced=enhanced, permanent=permanent)
    return MailFailed(
        "mail_refused" if permanent else "mail_deferred",
        f"The mail server answered {code}{f' {enhanced}' if enhanced else ''} to {step}",
        permanent=permanent,
        address_refused=permanent and step == "RCPT" and about_address,
    )


def _keep(settings: Settings, data: bytes, name: str) -> None:
    folder = Path(settings.storage_dir) / "mail"
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{name}.{os.getpid()}.tmp"
    unfinished.write_bytes(data)
    unfinished.replace(folder / f"{name}.eml")
