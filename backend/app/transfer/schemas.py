"""Import and export on the wire."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field

from app.kit.schema import Flag, Id, StrictModel
from app.transfer.model import Format


class ImportForm(BaseModel):
    """A file and what to do with it."""

    model_config = ConfigDict(extra="forbid")

    file: Annotated[UploadFile, Field(description="The file as the other product exported it, at most 50 MB.")]
    format: Annotated[Format | None, Field(description="Detected when left out.")] = None
    project_id: Annotated[UUID | None, Field(description="Where tasks without a project go; else your inbox.")] = None
    dry_run: Annotated[Flag, Field(description="Reads and counts, and brings nothing in.")] = False
    on_error: Annotated[
        Literal["report", "abort"],
        Field(description="`report`: the good rows come in, each bad one is named. `abort`: nothing comes in."),
    ] = "report"
    mapping: Annotated[
        str | None,
        Field(
            max_length=10_000,
            description='For csv: JSON of our field -> their column, `{"title": "summary"}`.',
        ),
    ] = None


class WorkspaceExport(StrictModel):
    workspace_id: Id | None = Field(None, description="Your personal workspace when left out.")
