"""The handler of `email.send`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from app.infra import smtp
from app.mail import repository, service
from app.mail.job_args import EmailArgs
from app.mail.message import Message, compose
from app.mail.templating import Content, render
from app.worker import Permanent, Retry, RunningJob, handler

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

log = structlog.get_logger(__name__)


@handler(EmailArgs)
async def send_email(job: RunningJob, args: EmailArgs) -> dict[str, Any]:
    """Once it is known that the server took the message, no attempt sends it again.

    An attempt whose end nobody saw is repeated, and the reader's side may tell the two by their one `Message-ID`.
    """
    async with job.transaction() as session:
        if await service.is_suppressed(session, args.to):
            return {"outcome": "suppressed"}
        message = compose(job.id, job.settings.mail_from, args.to, await _content(session, job, args))
        if await repository.has_effect(session, job.id, "sent"):
            return _sent(message)
        if not await job.effect(session, "begun"):
            log.info("mail_may_come_twice", message_id=message.id)
    try:
        await _send(job, message)
    except smtp.MailFailed as failure:
        if not failure.permanent:
            raise Retry(code=failure.code, message=failure.message) from None
        if failure.address_refused:
            async with job.transaction() as session:
                await service.suppress(session, args.to, "refused", job.id)
        raise Permanent(failure.code, failure.message) from None
    async with job.transaction() as session:
        await job.effect(session, "sent")
    return _sent(message)


def _sent(message: Message) -> dict[str, Any]:
    return {"outcome": "sent", "message_id": message.id}


async def _content(session: AsyncSession, job: RunningJob, args: EmailArgs) -> Content:
    if args.template is not None:
        return render(args.template, args.values)
    said = await repository.args_of_parent(session, job.id)
    if said is None:
        raise Permanent("content_gone", "The message says nothing: it has neither a template nor a parent")
    if said["html"] is not None:
        return Content(said["subject"], said["text"], said["html"])
    return render("message", {"subject": said["subject"], "text": said["text"]})


async def _send(job: RunningJob, message: Message) -> None:
    """To its end, which is near: who stopped in the middle would not know whether the message has left."""
    leaving = asyncio.ensure_future(
        smtp.send(
            job.settings,
            sender=message.sender,
            recipient=message.recipient,
            data=message.data,
            name=str(job.id),
        )
    )
    while not leaving.done():
        try:
            await asyncio.shield(leaving)
        except asyncio.CancelledError:
            log.info("mail_is_leaving", message_id=message.id)
    leaving.result()
