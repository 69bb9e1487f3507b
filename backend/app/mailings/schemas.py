"""Mailings on the wire."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError, to_json

from app.kit.schema import StrictModel, Text
from app.mail.job_args import Body, Subject

RECIPIENTS = 10_000
CONTENT_MAX_BYTES = 60_000
"""Subject, text and html as JSON: they are args of one job."""


class MailingCreate(StrictModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"to": ["ana@example.com", "bo@example.com"], "subject": "Maintenance", "text": "On Sunday."}]
        }
    )

    to: Annotated[list[Annotated[str, Text(254)]], Field(min_length=1, max_length=RECIPIENTS)] = Field(
        description="Addresses; each gets a message of its own. One that stands here twice gets one."
    )
    subject: Subject
    text: Annotated[str, Text(32_768, min_length=1, blank=False)] = Field(
        description="For readers without HTML; where no `html` is given, for all."
    )
    html: Body | None = Field(None, description="Sent as it is.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(to_json([self.subject, self.text, self.html])) > CONTENT_MAX_BYTES:
            raise PydanticCustomError("content_too_large", "Subject, text and html together take more than 60 kB")
        return self
