"""Usage on the wire."""

from datetime import date
from typing import Annotated, NotRequired
from uuid import UUID

from pydantic import BaseModel, Field
from typing_extensions import TypedDict  # pydantic asks for it on Python 3.11

from app.kit.schema import UtcTime
from app.web.listing import ListQuery, sort_by


class UsageOut(BaseModel):
    """What a workspace used in one month, in UTC."""

    workspace_id: UUID
    month: Annotated[date, Field(description="Its first day.")]
    tasks: Annotated[int, Field(description="The most there were at any full hour, archived ones too.")]
    members: Annotated[int, Field(description="The most there were at any full hour.")]
    file_bytes: Annotated[int, Field(description="The most that was stored at any full hour.")]
    jobs: Annotated[int, Field(description="Enqueued in the month.")]
    closed_at: Annotated[UtcTime | None, Field(description="Null while the month goes on.")]


class UsagePage(TypedDict):
    items: list[UsageOut]
    next_cursor: str | None
    total_count: NotRequired[int]


class UsageQuery(ListQuery):
    sort: str | None = sort_by("month", default="-month")
