from __future__ import annotations

from typing import Annotated
from uuid import UUID

import pytest
from fastapi import APIRouter, Depends, Header, Request, Response

from app.kit.errors import PermissionDenied
from app.web import parts
from app.web.routing import Route

calls: list[str] = []


async def asked(request: Request) -> str:
    calls.append("asked")
    return request.headers["x-name"]


async def greeting(name: Annotated[str, Depends(asked)]) -> str:
    return f"Hello {name}"


async def never() -> None:
    calls.append("refused")
    raise PermissionDenied


async def languages(accept_language: Annotated[str, Header()]) -> str:
    return accept_language


router = APIRouter(prefix="/parts", route_class=Route)


@router.get("/{number:int}")
async def greet(
    number: int, name: Annotated[str, Depends(asked)], text: Annotated[str, Depends(greeting)]
) -> list[object]:
    return [number, name, text]


@router.post("/refused", dependencies=[Depends(never)])
async def refused(request: Request, name: Annotated[str, Depends(asked)]) -> Response:
    return Response(name + str(request.url))


@router.get("/mixed")
async def mixed(name: Annotated[str, Depends(asked)], language: Annotated[str, Depends(languages)]) -> list[str]:
    return [name, language]


async def test_each_part_is_called_once_and_parts_may_build_on_parts(app, client):
    app.include_router(router)
    calls.clear()
    answer = await client.get("/parts/7", headers={"X-Name": "Ada"})
    assert answer.json() == [7, "Ada", "Hello Ada"]
    assert calls == ["asked"]


async def test_a_part_that_refuses_ends_the_request_in_its_turn(app, client):
    app.include_router(router)
    calls.clear()
    answer = await client.post("/parts/refused", headers={"X-Name": "Ada"})
    assert answer.status_code == 403
    assert calls == ["refused"]


async def test_a_dependency_with_parameters_leaves_all_to_fastapi(app, client):
    app.include_router(router)
    (route,) = [one for one in router.routes if one.path == "/parts/mixed"]
    assert not parts.only(route.dependant)
    answer = await client.get("/parts/mixed", headers={"X-Name": "Ada", "Accept-Language": "de"})
    assert answer.json() == ["Ada", "de"]


@pytest.mark.parametrize("path", ["/tasks", "/tasks/import", f"/tasks/{UUID(int=1)}/attachments"])
@pytest.mark.parametrize("more", [{}, {"Idempotency-Key": "a-key"}], ids=["plain", "with a key"])
async def test_the_body_of_a_stranger_is_not_looked_at(client, path, more):
    asked = []

    async def body():
        asked.append("for a part")
        yield b"{"

    form = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await client.post(path, content=body(), headers={**form, **more})

    assert (answer.status_code, asked) == (401, [])
