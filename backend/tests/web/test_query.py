"""Queries as models, read from what was sent."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from app.tasks.schemas import TaskQuery
from app.web.query import SentQuery
from app.web.routing import Route


class Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1)
    label: list[str] = []


def asked(query: str) -> Request:
    return Request({"type": "http", "query_string": query.encode(), "headers": []})


async def test_lists_take_every_value_and_the_rest_have_their_defaults():
    assert await SentQuery(Wanted)(asked("label=a&label=b%20c")) == Wanted(label=["a", "b c"])


@pytest.mark.parametrize("query", ["limit=0", "limit=many", "other=1"])
async def test_what_the_model_refuses_is_named_as_a_part_of_the_query(query):
    with pytest.raises(RequestValidationError) as refused:
        await SentQuery(Wanted)(asked(query))

    assert [entry["loc"] for entry in refused.value.errors()] == [("query", query.split("=")[0])]


def test_the_document_declares_what_it_would_with_the_framework_s_own_way():
    def parameters(annotation: Any) -> Any:
        app = FastAPI()

        async def show(query: annotation) -> None: ...

        app.router.add_api_route("/", show, methods=["GET"], route_class_override=Route)
        return app.openapi()["paths"]["/"]["get"]["parameters"]

    assert parameters(Annotated[TaskQuery, Depends(SentQuery(TaskQuery))]) == parameters(Annotated[TaskQuery, Query()])
