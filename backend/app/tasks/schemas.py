"""Tasks on the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired, Self
from uuid import UUID

from dateutil.rrule import rrulestr
from pydantic import MISSING, AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, WithJsonSchema, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict  # pydantic asks for it on Python 3.11

from app.kit.schema import Flag, Id, Instant, Limit, ShownId, StrictModel, Text, TimeZone
from app.tasks.listing import SORTABLE
from app.web.listing import sort_by

Status = Literal["todo", "in_progress", "blocked", "done", "cancelled"]
Priority = Literal["none", "low", "medium", "high", "urgent"]
DESCRIPTION_MAX = 65_536
MAX_ESTIMATE = 60 * 24 * 365 * 10
"""Minutes in ten years."""
BULK_MAX = 500

Title = Annotated[str, Text(500, min_length=1, blank=False)]
Description = Annotated[str, Text(DESCRIPTION_MAX)]
LabelName = Annotated[str, Text(100, min_length=1, blank=False)]
Ids = Annotated[list[Id], Field(max_length=100)]
LabelNames = Annotated[list[LabelName], Field(max_length=100)]
Estimate = Annotated[int, Field(ge=0, le=MAX_ESTIMATE)]
Position = Annotated[
    float, Field(ge=-1e15, le=1e15, description="The place in lists, smallest first; between two neighbours is room.")
]


def _rule(value: str) -> str:
    if "\n" in value or value.upper().startswith(("RRULE", "DTSTART")):
        raise PydanticCustomError("invalid_rrule", "Give the value of one RRULE, like FREQ=WEEKLY;BYDAY=MO")
    try:
        rrulestr(value, dtstart=datetime(2000, 1, 1))  # noqa: DTZ001  only the rule's grammar is tried
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError):
        # dateutil refuses an UNTIL with a zone beside a naive start; that is a fine rule for us.
        if "UNTIL" in value.upper() and value.upper().endswith("Z"):
            return _rule(value.upper().removesuffix("Z")) and value
        raise PydanticCustomError("invalid_rrule", "This is no RFC 5545 recurrence rule") from None
    return value


class Recurrence(StrictModel):
    """When the task is due again: an RFC 5545 rule, read in a time zone. Kept and exported; nothing acts on it yet."""

    rrule: Annotated[
        str, Text(500, min_length=1), AfterValidator(_rule), Field(json_schema_extra={"format": "rfc5545-rrule"})
    ]
    time_zone: TimeZone = "UTC"


class _OneWayToNameLabels(StrictModel):
    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        if {"labels", "label_ids"} <= self.model_fields_set:
            raise PydanticCustomError("labels_twice", "Send either labels or label_ids")
        return self


_ONE_WAY: JsonDict = {"not": {"required": ["labels", "label_ids"]}}


class TaskCreate(_OneWayToNameLabels):
    """A new task: the title alone is enough. `labels` names labels, `label_ids` their ids; send one of the two."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"title": "Buy milk", "priority": "high", "due_at": "2030-01-31T17:00:00Z"}],
            **_ONE_WAY,
        }
    )

    title: Title
    description: Description | None = None
    status: Status = "todo"
    priority: Priority = "none"
    project_id: Id | None = Field(
        None, description="Without one the task lands in its parent's project, or in your inbox."
    )
    section_id: Id | None = None
    parent_id: Id | None = None
    label_ids: Ids = Field([])
    labels: LabelNames = Field([], description="Names of labels, instead of `label_ids`.")
    assignee_ids: Ids = Field([])
    start_at: Instant | None = None
    due_at: Instant | None = None
    estimate_minutes: Estimate | None = None
    recurrence: Recurrence | None = None
    position: Position = 0.0


class TaskUpdate(_OneWayToNameLabels):
    """A JSON merge patch (RFC 7396): only the fields sent are touched, null clears one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "done"}], **_ONE_WAY})

    title: Title | MISSING = MISSING
    description: Description | MISSING | None = MISSING
    status: Status | MISSING = MISSING
    priority: Priority | MISSING = MISSING
    project_id: Id | MISSING = Field(MISSING, description="The task leaves its section, and keeps its key.")
    section_id: Id | MISSING | None = MISSING
    parent_id: Id | MISSING | None = MISSING
    label_ids: Ids | MISSING = Field(MISSING, description="All labels that the task shall have.")
    labels: LabelNames | MISSING = Field(MISSING, description="Their names, instead of `label_ids`.")
    assignee_ids: Ids | MISSING = Field(MISSING, description="All people whom the task shall have.")
    start_at: Instant | MISSING | None = MISSING
    due_at: Instant | MISSING | None = MISSING
    estimate_minutes: Estimate | MISSING | None = MISSING
    recurrence: Recurrence | MISSING | None = MISSING
    position: Position | MISSING = MISSING


class TaskOut(TypedDict):
    """A task as every route shows it."""

    id: ShownId
    key: Annotated[str, Field(description="The human key, for example INBOX-12. It never changes.")]
    workspace_id: ShownId
    project_id: ShownId
    section_id: ShownId | None
    parent_id: ShownId | None
    title: str
    description: str | None
    status: Status
    priority: Priority
    label_ids: list[ShownId]
    assignee_ids: list[ShownId]
    start_at: datetime | None
    due_at: datetime | None
    estimate_minutes: int | None
    recurrence: dict[str, Any] | None
    position: float
    completed_at: datetime | None
    archived_at: datetime | None
    deleted_at: datetime | None
    source: dict[str, Any] | None
    created_by: ShownId | None
    created_at: datetime
    updated_at: datetime
    version: int
    labels: NotRequired[Annotated[list["LabelRef"], Field(description="With expand=labels.")]]
    project: NotRequired[Annotated["ProjectRef", Field(description="With expand=project.")]]
    assignees: NotRequired[Annotated[list["UserRef"], Field(description="With expand=assignees.")]]


class LabelRef(TypedDict):
    id: ShownId
    name: str
    color: str | None


class ProjectRef(TypedDict):
    id: ShownId
    key: str
    name: str


class UserRef(TypedDict):
    id: ShownId
    name: str | None
    email: str


class TaskPage(TypedDict):
    items: list[TaskOut]
    next_cursor: str | None
    total_count: NotRequired[int]


TASK = TypeAdapter(TaskOut)
TASK_PAGE = TypeAdapter(TaskPage)


class ChangeOut(TypedDict):
    """One mutation: `before` and `after` hold the fields that it touched."""

    id: int
    resource: Literal["task", "comment", "attachment"]
    resource_id: ShownId
    version: int
    action: str
    operation_id: ShownId
    user_id: ShownId | None
    job_id: ShownId | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    created_at: datetime


class ChangePage(TypedDict):
    items: list[ChangeOut]
    next_cursor: str | None


CHANGE_PAGE = TypeAdapter(ChangePage)


class BulkUpdate(TaskUpdate):
    id: Id
    version: int | None = Field(None, ge=1, description="The version that you read; another one current is a 412.")


class Bulk(StrictModel):
    """At most 500 entries in all. Atomic (the default): all of it or nothing."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"create": [{"title": "Buy milk"}, {"title": "Call Ada"}], "atomic": True}]}
    )

    create: list[TaskCreate] = Field([], max_length=BULK_MAX)
    update: list[BulkUpdate] = Field([], max_length=BULK_MAX)
    delete: list[Id] = Field([], max_length=BULK_MAX)
    atomic: bool = True

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if len(self.create) + len(self.update) + len(self.delete) > BULK_MAX:
            raise PydanticCustomError("too_many_entries", "At most 500 entries in all")
        return self


class BulkProblem(TypedDict):
    """Why one entry was refused."""

    status: int
    code: str
    detail: str
    errors: list[dict[str, str]]


class BulkItem(TypedDict):
    """What became of one entry of a bulk that is not atomic."""

    status: int
    task: NotRequired[TaskOut]
    id: NotRequired[UUID]
    problem: NotRequired[BulkProblem]


class BulkOut(TypedDict):
    """Atomic: the tasks (ids for `deleted`). Not atomic: one result for each entry, in the order sent."""

    created: list[TaskOut | BulkItem]
    updated: list[TaskOut | BulkItem]
    deleted: list[UUID | BulkItem]


BULK = TypeAdapter(BulkOut)


EXPANDABLE = ("labels", "project", "assignees")
_WORD = f"({'|'.join(EXPANDABLE)})"
Expand = Annotated[
    str,
    Text(100),
    Field(
        description=f"Comma separated: {', '.join(EXPANDABLE)}.",
        json_schema_extra={"pattern": rf"^\s*{_WORD}\s*(,\s*{_WORD}\s*)*$"},
    ),
]
UserWord = Annotated[str, Text(36), WithJsonSchema({"type": "string", "anyOf": [{"format": "uuid"}, {"const": "me"}]})]


class TaskQuery(BaseModel):
    """The filters of `GET /tasks`: combined with AND, repeats of one with OR."""

    model_config = ConfigDict(extra="forbid")

    status: list[Status] = []
    priority: list[Priority] = []
    label: list[LabelName] = Field([], max_length=50, description="Names or ids of labels.")
    assignee: list[UserWord] = Field([], max_length=50, description="Ids of users, or `me`.")
    project: list[UUID] = Field([], max_length=50)
    section: list[UUID] = Field([], max_length=50)
    workspace: list[UUID] = Field([], max_length=50)
    parent: list[UUID] = Field([], max_length=50)
    created_by: list[UUID] = Field([], max_length=50)
    due_before: Instant | None = None
    due_after: Instant | None = None
    updated_since: Instant | None = None
    overdue: Flag | None = Field(None, description="Due in the past and still open; false: all the others.")
    archived: Literal["false", "true", "any"] = "false"
    q: Annotated[str, Text(200)] | None = Field(
        None, description="Words in title, description or comments; the last letters may be missing."
    )
    sort: str | None = sort_by(*SORTABLE, default="-created_at; with `q`, by rank")
    limit: Limit = 50
    cursor: Annotated[str, Text(2000)] | None = None
    count: Flag = Field(False, description="Adds `total_count`.")
    expand: Expand | None = None


class TrashQuery(TaskQuery):
    """The filters of `GET /tasks/trash`: those of `GET /tasks`, archived tasks among them."""

    archived: Literal["false", "true", "any"] = "any"
