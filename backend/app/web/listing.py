"""Lists of the smaller resources: sorted by few keys, paged by keyset, counted on request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Integer, Select, String, bindparam, cast, func, select

from app.infra.statements import Statement
from app.kit.errors import invalid
from app.kit.keyset import Order, after
from app.kit.schema import Flag, Limit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from app.infra.work import Work
    from app.kit.keyset import Key
    from app.kit.pagination import CursorCodec

Archived = Literal["false", "true", "any"]


def sort_by(*keys: str, default: str) -> Any:
    """The field `sort` of a list that can be sorted by these keys, as the document describes it."""
    key = f"-?({'|'.join(keys)})"
    return Field(
        None,
        max_length=100,
        description=f"Comma separated: {', '.join(keys)}; `-` for descending. Default {default}.",
        json_schema_extra={"pattern": rf"^\s*{key}\s*(,\s*{key}\s*)*$"},
    )


class ListQuery(BaseModel):
    """What the query of every list may hold; a list says by what it sorts and adds its filters."""

    model_config = ConfigDict(extra="forbid")

    sort: str | None = None
    limit: Limit = 50
    cursor: str | None = Field(None, max_length=2000, description="`next_cursor` of the page before.")
    count: Flag = Field(False, description="Adds `total_count`.")


class Listing:
    """One list: `rows` selects everything that its filters, named parameters, let through; `keys` are what it may be
    sorted by, the id last; `sort` is the order where the query names none.
    """

    def __init__(self, name: str, rows: Select[*tuple[Any, ...]], keys: Sequence[Key], sort: str) -> None:
        self._name = name
        self._rows = rows
        self._keys = {key.name: key for key in keys}
        self._sort = sort
        self._count = Statement(select(func.count().label("total")).select_from(rows.subquery()))
        self._pages: dict[tuple[tuple[Order, ...], bool], Statement] = {}

    async def page(
        self, work: Work, cursors: CursorCodec, query: ListQuery, filters: Mapping[str, Any], caller_id: UUID
    ) -> dict[str, Any]:
        """`items`, `next_cursor`, and `total_count` where the query asks. A cursor continues this query of this caller.

        Raises InvalidInput for an unknown or repeated sort key and for a cursor of another query.
        """
        orders = self._orders(self._sort if query.sort is None else query.sort)
        words = query.model_dump_json(exclude={"cursor", "limit", "count"})
        binding = f"{self._name}{caller_id}{words}"
        values = dict(filters)
        if query.cursor is not None:
            last = cursors.decode(binding, query.cursor, len(orders))
            values |= {order.parameter_name: value for order, value in zip(orders, last, strict=True)}
        statement = self._page(orders, continued=query.cursor is not None)
        rows = await work.fetch(statement, {**values, "limit": query.limit + 1})
        answer: dict[str, Any] = {"items": [dict(row) for row in rows[: query.limit]], "next_cursor": None}
        if len(rows) > query.limit:
            last_row = rows[query.limit - 1]
            answer["next_cursor"] = cursors.encode(binding, [last_row[order.parameter_name] for order in orders])
        if query.count:
            answer["total_count"] = (await work.fetch(self._count, filters))[0]["total"]
        return answer

    def _orders(self, sort: str) -> tuple[Order, ...]:
        names = [part.strip() for part in sort.split(",")]
        known = [name for name in self._keys if name != "id"]
        if any(name.removeprefix("-") not in known for name in names):
            raise invalid("?sort", "unknown_sort_key", f"Sort by {', '.join(known)}; - before one for descending")
        if len({name.removeprefix("-") for name in names}) != len(names):
            raise invalid("?sort", "repeated_sort_key", "Each sort key may stand only once")
        names.append("-id" if names[-1].startswith("-") else "id")
        return tuple(Order(self._keys[name.removeprefix("-")], name.startswith("-")) for name in names)

    def _page(self, orders: tuple[Order, ...], *, continued: bool) -> Statement:
        made = self._pages.get((orders, continued))
        if made is None:
            values = (cast(order.expression, String).label(order.parameter_name) for order in orders)
            shown = self._rows.add_columns(*values)
            if continued:
                shown = shown.where(after(orders))
            ordered = shown.order_by(*(order.clause() for order in orders))
            made = Statement(ordered.limit(bindparam("limit", type_=Integer)))
            self._pages[orders, continued] = made
        return made
