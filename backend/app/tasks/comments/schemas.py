"""Comments on the wire."""

from typing import Annotated, NotRequired
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic asks for it on Python 3.11

from app.kit.schema import StrictModel, Text, UtcTime
from app.web.listing import ListQuery, sort_by

BODY_MAX = 65_536


class CommentWrite(StrictModel):
    """A comment, or its new text."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"body": "The cheap ones crack."}]})

    body: Annotated[str, Text(BODY_MAX, min_length=1, blank=False)]


class CommentOut(BaseModel):
    """A comment as every route shows it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    task_id: UUID
    author_id: UUID | None
    author_name: str | None = Field(description="Who wrote it where it was imported from.")
    body: str = Field(description="Markdown.")
    created_at: UtcTime
    updated_at: UtcTime
    version: int


class CommentPage(TypedDict):
    """A page of comments."""

    items: list[CommentOut]
    next_cursor: str | None
    total_count: NotRequired[int]


class CommentQuery(ListQuery):
    sort: str | None = sort_by("created_at", "updated_at", default="created_at")
