"""The rules of mailings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from email_validator import EmailNotValidError, validate_email

from app.kit.errors import FieldProblem, InvalidInput
from app.mail.job_args import BulkEmailArgs, EmailArgs
from app.worker import enqueue_parent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.identity.caller import Caller
    from app.mailings.schemas import MailingCreate
    from app.models import Job

_PROBLEMS_SHOWN = 20


async def send(session: AsyncSession, caller: Caller, mailing: MailingCreate) -> Job:
    """The parent of one `email.send` for each address, all in this transaction. Raises InvalidInput."""
    # A quarter of a second for ten thousand: not on the loop that answers everybody else.
    addresses = await asyncio.to_thread(_checked, mailing.to)
    said = BulkEmailArgs(subject=mailing.subject, text=mailing.text, html=mailing.html)
    # The addresses are checked, and nothing else is in there.
    children = (EmailArgs.model_construct(to=address) for address in addresses)
    return await enqueue_parent(session, said, children, workspace_id=caller.scope.personal, created_by=caller.user_id)


def _checked(addresses: Sequence[str]) -> list[str]:
    """Each address once, whatever its case."""
    found: dict[str, str] = {}
    problems: list[FieldProblem] = []
    for index, address in enumerate(addresses):
        try:
            normal = validate_email(address, check_deliverability=False).normalized
        except EmailNotValidError:
            problems.append(FieldProblem(f"/to/{index}", "invalid_address", "This is not an e-mail address"))
        else:
            found.setdefault(normal.lower(), normal)
    if problems:
        raise InvalidInput(f"{len(problems)} of the addresses are not valid", errors=problems[:_PROBLEMS_SHOWN])
    return list(found.values())
