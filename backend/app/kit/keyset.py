"""Pages by keyset: what comes after a row, for any mix of directions, with nulls last (docs/adr/0002).

The last key is the row's id, so that the order is total and pages stay whole while rows come and go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, String, and_, cast, or_, tuple_
from sqlalchemy.sql.expression import bindparam

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.types import TypeEngine


@dataclass(frozen=True, slots=True)
class Key:
    """One sort key. `ascending` and `descending` are the expressions that each direction sorts by (nulls replaced, the
    same text as in the index); the cursor's value is cast from text to `type_`.
    """

    name: str
    ascending: ColumnElement[Any]
    descending: ColumnElement[Any]
    type_: TypeEngine[Any]


@dataclass(frozen=True, slots=True)
class Order:
    """A key with its direction."""

    key: Key
    descending: bool

    @property
    def expression(self) -> ColumnElement[Any]:
        return self.key.descending if self.descending else self.key.ascending

    def clause(self) -> ColumnElement[Any]:
        return self.expression.desc() if self.descending else self.expression.asc()

    @property
    def parameter_name(self) -> str:
        return f"after_{self.key.name}"

    def parameter(self) -> ColumnElement[Any]:
        return cast(bindparam(self.parameter_name, type_=String), self.key.type_)

    def beyond(self) -> ColumnElement[bool]:
        return self.expression < self.parameter() if self.descending else self.expression > self.parameter()


def after(orders: Sequence[Order]) -> ColumnElement[bool]:
    """The rows behind the one whose keys are bound as `after_<name>` (text)."""
    if len({order.descending for order in orders}) == 1:
        # One direction: a row comparison, which an index answers by a range.
        left = tuple_(*(order.expression for order in orders))
        right = tuple_(*(order.parameter() for order in orders))
        return left < right if orders[0].descending else left > right
    alternatives = []
    for position, order in enumerate(orders):
        equal = [earlier.expression == earlier.parameter() for earlier in orders[:position]]
        alternatives.append(and_(*equal, order.beyond()))
    return or_(*alternatives)
