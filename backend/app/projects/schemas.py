"""Projects and sections on the wire."""

from typing import Annotated, NotRequired
from uuid import UUID

from pydantic import MISSING, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic asks for it on Python 3.11

from app.kit.schema import Id, StrictModel, Text, UtcTime
from app.web.listing import Archived, ListQuery, sort_by

Name = Annotated[str, Text(100, min_length=1, blank=False)]
Description = Annotated[str, Text(10_000)]
Key = Annotated[
    str,
    Field(
        pattern=r"^[A-Z][A-Z0-9]{1,9}$",
        description="Begins its tasks' human keys (`HOME-12`) and never changes. Made from the name when left out.",
    ),
]
Position = Annotated[
    float, Field(ge=-1e15, le=1e15, description="The place in lists, smallest first; between two neighbours is room.")
]


class ProjectCreate(StrictModel):
    """A new project: the name alone is enough."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "House", "key": "HOUSE"}]})

    name: Name
    description: Description | None = None
    key: Key | None = None
    workspace_id: Id | None = Field(None, description="Without one, your personal workspace.")
    position: Position | None = Field(None, description="Without one, behind all others.")


class ProjectUpdate(StrictModel):
    """A JSON merge patch (RFC 7396): only the fields sent are touched, null clears the description."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "House and garden"}]})

    name: Name | MISSING = MISSING
    description: Description | MISSING | None = MISSING
    position: Position | MISSING = MISSING


class ProjectOut(BaseModel):
    """A project as every route shows it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    workspace_id: UUID
    key: str = Field(description="Begins the human keys of its tasks. It never changes.", examples=["HOUSE"])
    name: str
    description: str | None
    is_inbox: bool = Field(description="The one project of a workspace for tasks that name none; it always stays.")
    position: float
    archived_at: UtcTime | None
    created_by: UUID | None
    created_at: UtcTime
    updated_at: UtcTime
    version: int


class ProjectPage(TypedDict):
    items: list[ProjectOut]
    next_cursor: str | None
    total_count: NotRequired[int]


class ProjectQuery(ListQuery):
    sort: str | None = sort_by("position", "name", "created_at", default="position")
    workspace: list[UUID] = Field([], max_length=50, description="Only these workspaces.")
    archived: Archived = Field("false", description="`any` lists archived projects too, `true` only them.")


class SectionCreate(StrictModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Kitchen"}]})

    name: Name
    position: Position | None = Field(None, description="Without one, behind all others.")


class SectionUpdate(StrictModel):
    """A JSON merge patch (RFC 7396): only the fields sent are touched."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"position": 1.5}]})

    name: Name | MISSING = MISSING
    position: Position | MISSING = MISSING


class SectionOut(BaseModel):
    """A part of a project."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    project_id: UUID
    workspace_id: UUID
    name: str
    position: float
    archived_at: UtcTime | None
    created_at: UtcTime
    updated_at: UtcTime
    version: int


class SectionPage(TypedDict):
    items: list[SectionOut]
    next_cursor: str | None
    total_count: NotRequired[int]


class SectionQuery(ListQuery):
    sort: str | None = sort_by("position", "name", "created_at", default="position")
    archived: Archived = Field("false", description="`any` lists archived sections too, `true` only them.")
