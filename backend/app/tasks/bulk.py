"""Many tasks in one request, and in one batch of an import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.kit.errors import AppError, PreconditionRequired
from app.kit.ids import new_id
from app.tasks import repository, service, writing
from app.tasks.errors import BulkRejected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.infra.work import Work
    from app.tasks.schemas import Bulk, BulkUpdate
    from app.tasks.service import Writer


@dataclass(slots=True)
class NewTask:
    """A task whose references are resolved: ids of what exists in `workspace_id`. `columns` has title,
    status, priority, position and created_at, and whatever else `repository.INSERTABLE` names.
    """

    workspace_id: UUID
    project_id: UUID
    columns: dict[str, Any]
    label_ids: Sequence[UUID] = ()
    assignee_ids: Sequence[UUID] = ()
    id: UUID = field(default_factory=new_id)


async def insert_all(session: AsyncSession, writer: Writer, tasks: Sequence[NewTask]) -> None:
    """Writes the tasks in a handful of statements, their keys in the order given."""
    numbers: dict[UUID, int] = {}
    keys: dict[UUID, str] = {}
    # In id order, so that two batches never wait for each other in a circle.
    for project_id in sorted({task.project_id for task in tasks}):
        count = sum(task.project_id == project_id for task in tasks)
        numbers[project_id], keys[project_id] = await repository.draw_numbers(session, project_id, count)
    rows = []
    for task in tasks:
        number = numbers[task.project_id]
        numbers[task.project_id] += 1
        row = (
            dict.fromkeys(repository.INSERTABLE)
            | {"status": "todo", "priority": "none", "position": 0.0}
            | task.columns
        )
        row |= {
            "id": task.id,
            "workspace_id": task.workspace_id,
            "project_id": task.project_id,
            "number": number,
            "key": f"{keys[task.project_id]}-{number}",
            "created_by": writer.actor.user_id,
        }
        rows.append(row)
    labels = [_link(task, "label_id", one) for task in tasks for one in task.label_ids]
    people = [_link(task, "user_id", one) for task in tasks for one in task.assignee_ids]
    await writing.insert_many(session, rows, labels, people, writer.actor.columns())


def _link(task: NewTask, name: str, value: UUID) -> dict[str, UUID]:
    return {"task_id": task.id, "workspace_id": task.workspace_id, name: value}


async def write(work: Work, writer: Writer, entries: Bulk, *, versions_required: bool) -> dict[str, Any]:
    """Creates, then updates, then deletes, in one transaction.

    With `versions_required` an update without `version` is refused, and a delete, which cannot name one.

    Atomic: the first error ends it, its pointers naming the entry. Otherwise each entry is a savepoint of its own and
    has its own result.
    """
    steps: dict[str, tuple[Sequence[Any], Callable[[Any], Awaitable[Any]]]] = {
        "create": (entries.create, lambda task: service.create(work, writer, task.model_dump())),
        "update": (entries.update, lambda patch: _update(work, writer, patch, required=versions_required)),
        "delete": (entries.delete, lambda task_id: _delete(work, writer, task_id, required=versions_required)),
    }
    session = await work.transaction()
    run = _all_or_nothing if entries.atomic else _each
    results = {name: await run(session, name, items, act) for name, (items, act) in steps.items()}
    return {"created": results["create"], "updated": results["update"], "deleted": results["delete"]}


async def _update(work: Work, writer: Writer, patch: BulkUpdate, *, required: bool) -> Any:
    if required and patch.version is None:
        raise PreconditionRequired("Give the `version` that you read")
    fields = patch.model_dump(exclude={"id", "version"})
    return await service.update(work, writer, patch.id, fields, None if patch.version is None else [patch.version])


async def _delete(work: Work, writer: Writer, task_id: UUID, *, required: bool) -> UUID:
    if required:
        raise PreconditionRequired("Delete tasks one by one, with the ETag that you read as If-Match")
    await service.delete(await work.transaction(), writer, task_id, None)
    return task_id


async def _all_or_nothing(
    _: AsyncSession, name: str, items: Sequence[Any], act: Callable[[Any], Awaitable[Any]]
) -> list[Any]:
    done = []
    for index, item in enumerate(items):
        try:
            result = await act(item)
        except AppError as error:
            raise BulkRejected(f"/{name}/{index}", error) from error
        done.append(result if name == "delete" else dict(result))
    return done


async def _each(
    session: AsyncSession, name: str, items: Sequence[Any], act: Callable[[Any], Awaitable[Any]]
) -> list[Any]:
    done: list[dict[str, Any]] = []
    for item in items:
        try:
            async with session.begin_nested():
                result = await act(item)
        except AppError as error:
            errors = [{"pointer": one.pointer, "code": one.code, "message": one.message} for one in error.errors]
            problem = {"status": error.status, "code": error.code, "detail": error.detail, "errors": errors}
            done.append({"status": error.status, "problem": problem})
        else:
            status = {"create": 201, "update": 200, "delete": 204}[name]
            done.append(
                {"status": status, "id": result} if name == "delete" else {"status": status, "task": dict(result)}
            )
    return done
