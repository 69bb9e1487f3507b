"""A message as it goes over the wire: the same to the byte on every attempt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import TYPE_CHECKING

from email_validator import validate_email

from app import SERVICE_NAME

if TYPE_CHECKING:
    from uuid import UUID

    from app.mail.templating import Content

_SEVEN_BIT = SMTP.clone(cte_type="7bit", refold_source="none")
"""Whatever the text holds, and however long its lines are, every server takes it. What is set raw stays as it is."""


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    """Its `Message-ID`."""
    sender: str
    recipient: str
    data: bytes


def compose(job_id: UUID, sender: str, recipient: str, content: Content) -> Message:
    """The message of this job. `content.subject` is one line; ValueError otherwise."""
    sender, recipient = _on_the_wire(sender), _on_the_wire(recipient)
    international = not (sender + recipient).isascii()
    mail = EmailMessage(_SEVEN_BIT.clone(utf8=True) if international else _SEVEN_BIT)
    mail["Message-ID"] = message_id = f"<{job_id}@{sender.rpartition('@')[2]}>"
    mail["Date"] = datetime.fromtimestamp(_made_at(job_id), UTC)
    mail["From"] = _mailbox(sender, SERVICE_NAME)
    # The library decodes what looks encoded (RFC 2047), line breaks and all, and those would end the header.
    mail.set_raw("To", recipient)
    if "=?" in content.subject:
        mail.set_raw("Subject", Header(content.subject, "utf-8", header_name="Subject").encode())
    else:
        mail["Subject"] = content.subject
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    mail.set_content(_lines(content.text))
    if content.html is not None:
        mail.add_alternative(_lines(content.html), subtype="html")
        mail.set_boundary(f"={job_id.hex}=")
    return Message(message_id, sender, recipient, mail.as_bytes())


def _on_the_wire(address: str) -> str:
    """With the domain in ASCII; the part before the @ may need a server that speaks SMTPUTF8 (RFC 6531)."""
    known = validate_email(address, check_deliverability=False)
    return known.ascii_email or f"{known.local_part}@{known.ascii_domain}"


def _made_at(job_id: UUID) -> int:
    """Seconds since 1970: the first 48 bits of a UUIDv7 are milliseconds (RFC 9562 5.7)."""
    return (job_id.int >> 80) // 1000


def _mailbox(address: str, name: str) -> Address:
    # In two parts: read as one, a name outside of ASCII counts as a defect.
    local, _, domain = address.rpartition("@")
    return Address(name, username=local, domain=domain)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
