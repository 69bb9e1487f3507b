"""Attachments on the wire."""

from typing import Annotated, Literal, NotRequired
from uuid import UUID

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict  # pydantic asks for it on Python 3.11

from app.files.imaging import Size
from app.kit.schema import UtcTime
from app.web.listing import ListQuery, sort_by

ThumbnailState = Literal["none", "pending", "ready", "failed"]


class AttachmentForm(BaseModel):
    """One file."""

    model_config = ConfigDict(extra="forbid")

    file: Annotated[UploadFile, Field(description="Its name is kept as data; the type is what its first bytes say.")]


class Thumbnails(TypedDict):
    """Small forms of an image, made by a job."""

    state: Annotated[ThumbnailState, Field(description="`none`: no image. `failed`: `error_code` says why.")]
    sizes: Annotated[list[Size], Field(description="Those that are there.")]
    error_code: Annotated[str | None, Field(description="Why there are none, as long as the job is kept.")]
    job_id: Annotated[UUID | None, Field(description="The job that makes them; it shows how far it is.")]


class AttachmentOut(TypedDict):
    """A file on a task."""

    id: UUID
    task_id: UUID
    name: Annotated[str, Field(description="As the sender called it, without folders.")]
    media_type: Annotated[
        str, Field(description="Of PNG, JPEG, GIF, WebP and PDF; anything else is application/octet-stream.")
    ]
    size: Annotated[int, Field(description="Bytes.")]
    sha256: Annotated[str, Field(description="Of the bytes, in hex.")]
    created_by: UUID | None
    created_at: UtcTime
    thumbnails: Thumbnails


class AttachmentPage(TypedDict):
    """A page of attachments."""

    items: list[AttachmentOut]
    next_cursor: str | None
    total_count: NotRequired[int]


class AttachmentQuery(ListQuery):
    sort: str | None = sort_by("created_at", default="created_at")


ATTACHMENT = TypeAdapter(AttachmentOut)
ATTACHMENT_PAGE = TypeAdapter(AttachmentPage)
