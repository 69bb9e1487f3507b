"""What a message is told."""

import unicodedata
from datetime import timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from app.kit.schema import Email, Text
from app.mail.templating import fields_of, names, render
from app.worker import JobArgs


def one_line(value: str) -> str:
    """A subject. Raises PydanticCustomError."""
    # A line break would end the header, and what follows would be the next one.
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in value):
        raise PydanticCustomError("not_one_line", "The subject is one line without control characters")
    return value


Subject = Annotated[str, Text(200, min_length=1, blank=False), AfterValidator(one_line)]
Body = Annotated[str, Text(32_768)]


class EmailArgs(
    JobArgs,
    kind="email.send",
    queue="email",
    max_attempts=10,
    timeout=60,
    grace=30,
    backoff=10.0,
    backoff_cap=3600.0,
    retention=timedelta(days=30),
):
    """Sends one message to one address: a template with its values, or, without one, what its `email.bulk` parent says.

    A 4xx of the mail server and a lost connection are tried again; a 5xx discards the job, and where it is about the
    address itself, that gets no more mail. `Message-ID` is made from the job's id, the same on every attempt.
    """

    to: Email
    template: Annotated[str, Text(50)] | None = None
    values: Annotated[dict[str, Body], Field(max_length=20)] = Field({})

    @model_validator(mode="after")
    def _template_takes_the_values(self) -> Self:
        if self.template is not None and self.template not in names():
            raise PydanticCustomError("unknown_template", "There is no such template")
        if set(self.values) != (fields_of(self.template) if self.template is not None else set()):
            raise PydanticCustomError("template_values", "The values are not those that the template takes")
        if self.template is not None:
            one_line(render(self.template, self.values).subject)
        return self


class BulkEmailArgs(JobArgs, kind="email.bulk", queue="email", parent=True, retention=timedelta(days=30)):
    """The same message to many: a child, `email.send`, for each recipient. Without `html` that is made of the text."""

    subject: Subject
    text: Body
    html: Body | None = None
