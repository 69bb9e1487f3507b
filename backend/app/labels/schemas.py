"""Labels on the wire."""

from typing import Annotated, NotRequired
from uuid import UUID

from pydantic import MISSING, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic asks for it on Python 3.11

from app.kit.schema import Id, StrictModel, Text, UtcTime
from app.web.listing import ListQuery, sort_by

Name = Annotated[
    str, Text(100, min_length=1, blank=False), Field(description="One of its kind in the workspace, whatever its case.")
]
Color = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$", description="`#rrggbb` in lower case.")]


class LabelCreate(StrictModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "home", "color": "#2f80ed"}]})

    name: Name
    color: Color | None = None
    workspace_id: Id | None = Field(None, description="Without one, your personal workspace.")


class LabelUpdate(StrictModel):
    """A JSON merge patch (RFC 7396): only the fields sent are touched, null clears the color."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "at home"}]})

    name: Name | MISSING = MISSING
    color: Color | MISSING | None = MISSING


class LabelOut(BaseModel):
    """A label as every route shows it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    workspace_id: UUID
    name: str
    color: str | None
    created_at: UtcTime
    updated_at: UtcTime
    version: int


class LabelPage(TypedDict):
    items: list[LabelOut]
    next_cursor: str | None
    total_count: NotRequired[int]


class LabelQuery(ListQuery):
    sort: str | None = sort_by("name", "created_at", default="name")
    workspace: list[UUID] = Field([], max_length=50, description="Only these workspaces.")
