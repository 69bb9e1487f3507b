"""`GET /tasks`: one statement for each shape of a query, made once and kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Float,
    Integer,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
    type_coerce,
    union,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from app.infra.statements import Statement
from app.kit.errors import invalid
from app.kit.keyset import Key, Order, after
from app.models import Comment, Label, Task, TaskAssignee, TaskLabel
from app.models.task import CLOSED_STATUSES, PRIORITIES, STATUSES
from app.tasks.repository import IDS, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_t = Task.__table__
_TIME = DateTime(timezone=True)
_NEVER: ColumnElement[Any] = literal_column("'infinity'::timestamptz")
_ALWAYS: ColumnElement[Any] = literal_column("'-infinity'::timestamptz")


def _plain(name: str) -> Key:
    return Key(name, _t.c[name], _t.c[name], _t.c[name].type)


def _nullable(name: str) -> Key:
    # The same expression as in the index; a plain comparison would lose the rows without a date.
    return Key(name, func.coalesce(_t.c[name], _NEVER), func.coalesce(_t.c[name], _ALWAYS), _TIME)


def _ranked(name: str, words: Sequence[str]) -> Key:
    ranks: ColumnElement[Any] = literal_column("ARRAY[" + ", ".join(f"'{word}'" for word in words) + "]")
    rank = func.array_position(ranks, _t.c[name], type_=Integer)
    return Key(name, rank, rank, Integer())


def _prefixes(words: Any) -> Any:
    """`half a` as `half:* & a:*`: every ASCII character that is no letter or digit separates, so that no text is syntax."""
    parted = func.regexp_replace(words, literal_column(r"'[\s!-/:-@[-`{-~]+'"), literal_column("' & '"), _EVERYWHERE)
    prefixes = func.regexp_replace(parted, literal_column("'[^ &]+'"), literal_column(r"'\&:*'"), _EVERYWHERE)
    return func.btrim(prefixes, literal_column("' &'"))


_EVERYWHERE: ColumnElement[Any] = literal_column("'g'")
_q = bindparam("q", type_=Text)
# Without accents first: that turns some letters into quotes and operators (\u02bb, \u02d0).
_PLAIN = func.public.unaccent(_q)
_TSQUERY = type_coerce(
    func.to_tsquery(literal_column("'simple'"), _prefixes(_PLAIN)).op("||")(
        func.plainto_tsquery(literal_column("'english'"), _PLAIN)
    ),
    TSQUERY,
)
_SIMILARITY = func.public.word_similarity(_q, _t.c.title)
# Comments and misspelt titles match with a small rank of their own; float8 survives the way through a cursor.
_RANK = cast(func.ts_rank(_t.c.search, _TSQUERY) + _SIMILARITY * literal_column("0.1"), Float(53))

KEYS = {
    key.name: key
    for key in (
        _plain("id"),
        _plain("created_at"),
        _plain("updated_at"),
        _plain("title"),
        _plain("position"),
        _nullable("due_at"),
        _nullable("start_at"),
        _nullable("completed_at"),
        _ranked("priority", PRIORITIES),
        _ranked("status", STATUSES),
        Key("rank", _RANK, _RANK, Float(53)),
    )
}
SORTABLE = tuple(name for name in KEYS if name not in {"id", "rank"})


@dataclass(frozen=True, slots=True)
class Shape:
    """What makes two listings the same statement: everything but the values."""

    sort: tuple[tuple[str, bool], ...]
    filters: frozenset[str]
    archived: str = "false"
    trashed: bool = False
    paged: bool = False

    @property
    def orders(self) -> tuple[Order, ...]:
        return tuple(Order(KEYS[name], descending) for name, descending in self.sort)


def parse_sort(sort: str | None, *, searching: bool) -> tuple[tuple[str, bool], ...]:
    """Keys with their direction (True: descending), the id last. Raises InvalidInput for an unknown or repeated key."""
    if sort is None:
        first = ("rank", True) if searching else ("created_at", True)
        return (first, ("id", True))
    keys = []
    for part in sort.split(","):
        name = part.strip().removeprefix("-")
        if name not in SORTABLE:
            raise invalid("?sort", "unknown_sort_key", f"Sort by {', '.join(SORTABLE)}; - before one for descending")
        keys.append((name, part.strip().startswith("-")))
    if len({name for name, _ in keys}) != len(keys):
        raise invalid("?sort", "repeated_sort_key", "Each sort key may stand only once")
    return (*keys, ("id", keys[-1][1]))


def _labelled() -> ColumnElement[bool]:
    named = or_(
        TaskLabel.label_id == any_(bindparam("label_ids", type_=IDS)),
        func.lower(Label.name) == any_(_texts("label_names")),
    )
    return exists().where(TaskLabel.task_id == _t.c.id, Label.id == TaskLabel.label_id, named)


def _texts(name: str) -> Any:
    return bindparam(name, type_=ARRAY(Text))


def _ids(name: str) -> Any:
    return bindparam(name, type_=IDS)


def _open_and_late() -> ColumnElement[bool]:
    closed: ColumnElement[Any] = literal_column("(" + ", ".join(f"'{word}'" for word in CLOSED_STATUSES) + ")")
    return (_t.c.due_at < func.now()) & _t.c.status.op("NOT IN")(closed)


def _searched() -> ColumnElement[bool]:
    titles = select(_t.c.id).where(_t.c.search.op("@@")(_TSQUERY)).correlate(None)
    comments = select(Comment.task_id).where(Comment.search.op("@@")(_TSQUERY))
    misspelt = select(_t.c.id).where(_q.op("OPERATOR(public.<%)")(_t.c.title)).correlate(None)
    return _t.c.id.in_(union(titles, comments, misspelt))


_FILTERS: dict[str, Callable[[], ColumnElement[bool]]] = {
    "workspace_one": lambda: _t.c.workspace_id == bindparam("workspace_id", type_=Uuid()),
    "workspace_any": lambda: _t.c.workspace_id == any_(_ids("workspace_ids")),
    "status_one": lambda: _t.c.status == bindparam("status", type_=Text),
    "status_any": lambda: _t.c.status == any_(_texts("statuses")),
    "priority_one": lambda: _t.c.priority == bindparam("priority", type_=Text),
    "priority_any": lambda: _t.c.priority == any_(_texts("priorities")),
    "label": _labelled,
    "assignee": lambda: exists().where(
        TaskAssignee.task_id == _t.c.id, TaskAssignee.user_id == any_(_ids("assignees"))
    ),
    "project": lambda: _t.c.project_id == any_(_ids("projects")),
    "section": lambda: _t.c.section_id == any_(_ids("sections")),
    "parent": lambda: _t.c.parent_id == any_(_ids("parents")),
    "created_by": lambda: _t.c.created_by == any_(_ids("creators")),
    "due_before": lambda: _t.c.due_at < bindparam("due_before", type_=_TIME),
    "due_after": lambda: _t.c.due_at > bindparam("due_after", type_=_TIME),
    "updated_since": lambda: _t.c.updated_at >= bindparam("updated_since", type_=_TIME),
    "overdue": _open_and_late,
    "not_overdue": lambda: _open_and_late().is_not(True),
    "q": _searched,
}
_ARCHIVED: dict[str, Callable[[], list[ColumnElement[bool]]]] = {
    "false": lambda: [_t.c.archived_at.is_(None)],
    "true": lambda: [_t.c.archived_at.is_not(None)],
    "any": list,
}


def _conditions(shape: Shape) -> list[ColumnElement[bool]]:
    deleted = _t.c.deleted_at.is_not(None) if shape.trashed else _t.c.deleted_at.is_(None)
    return [*(_FILTERS[name]() for name in sorted(shape.filters)), deleted, *_ARCHIVED[shape.archived]()]


@lru_cache(maxsize=1024)
def page_statement(shape: Shape) -> Statement:
    """One page: `limit` rows, with the sort keys that the columns do not show."""
    extra = [order.expression.label("sort_rank") for order in shape.orders if order.key.name == "rank"]
    query = select(*shown(_t), *extra).where(*_conditions(shape))
    if shape.paged:
        query = query.where(after(shape.orders))
    return Statement(
        query.order_by(*(order.clause() for order in shape.orders)).limit(bindparam("limit", type_=Integer))
    )


@lru_cache(maxsize=1024)
def count_statement(shape: Shape) -> Statement:
    """How many rows all pages have together."""
    return Statement(select(func.count().label("total")).select_from(_t).where(*_conditions(shape)))
