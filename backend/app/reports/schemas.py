"""What a report is asked for with, over HTTP and as a job."""

from typing import Annotated, Literal

from pydantic import Field

from app.kit.schema import Day, Id, StrictModel, TimeZone

DAYS_MAX = 366
"""The longest period: a leap year."""

Format = Literal["csv", "html", "pdf"]
Ids = Annotated[list[Id], Field(max_length=50)]


class Wanted(StrictModel):
    """A report of one workspace: all of its tasks, or those that every filter lets through."""

    format: Format = "html"
    since: Day | None = Field(None, description="The first day; left out, `days` counts back from `until`.")
    until: Day | None = Field(None, description="The last day, which counts too; today when left out.")
    days: int = Field(30, ge=1, le=DAYS_MAX, description="The length of the period where `since` is left out.")
    time_zone: TimeZone | None = Field(None, description="The zone that days are counted in; your own when left out.")
    project_ids: Ids = Field([], description="Only tasks of these projects.")
    label_ids: Ids = Field([], description="Only tasks with one of these labels.")
    assignee_ids: Ids = Field([], description="Only tasks that one of these people is assigned to.")


class ReportIn(Wanted):
    workspace_id: Id | None = Field(None, description="Your personal workspace when left out.")
