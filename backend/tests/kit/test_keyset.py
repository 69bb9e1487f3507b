"""Pages by keyset hold every row once, in order, for every mix of directions, with nulls and ties."""

from __future__ import annotations

import random
from itertools import product

import pytest
from sqlalchemy import Column, Float, Integer, MetaData, String, Table, cast, func, insert, literal_column, select

from app.kit.keyset import Key, Order, after

rows = Table(
    "keyset_rows", MetaData(), Column("id", Integer), Column("due", Float), Column("name", String), prefixes=["TEMP"]
)
NEVER, ALWAYS = literal_column("'infinity'::float8"), literal_column("'-infinity'::float8")
KEYS = {
    "due": Key("due", func.coalesce(rows.c.due, NEVER), func.coalesce(rows.c.due, ALWAYS), Float(53)),
    "name": Key("name", rows.c.name, rows.c.name, String()),
    "id": Key("id", rows.c.id, rows.c.id, Integer()),
}


@pytest.fixture
async def connection(database):
    dice = random.Random(7)
    made = [
        {"id": n, "due": dice.choice([None, None, -1.5, 0.1, 0.3, 1e300]), "name": dice.choice(["a", "B", "é", ""])}
        for n in dice.sample(range(1000), 60)
    ]
    async with database.engine.connect() as connection:
        await connection.run_sync(rows.create)
        await connection.execute(insert(rows), made)
        yield connection
        await connection.rollback()


async def page(connection, orders, last, limit):
    shown = [cast(order.expression, String).label(order.parameter_name) for order in orders]
    query = select(rows.c.id, rows.c.due, *shown).order_by(*(order.clause() for order in orders)).limit(limit)
    if last is not None:
        query = query.where(after(orders))
    parameters = {order.parameter_name: last[order.parameter_name] for order in orders} if last else {}
    return [dict(row) for row in (await connection.execute(query, parameters)).mappings()]


SHAPES = [
    tuple(zip(names, directions, strict=True))
    for names in (("id",), ("due", "id"), ("name", "due", "id"), ("due", "name", "id"))
    for directions in product((False, True), repeat=len(names))
]


async def test_pages_hold_what_the_whole_list_does(connection):
    for shape in SHAPES:
        orders = [Order(KEYS[name], descending) for name, descending in shape]
        whole = await page(connection, orders, None, 1000)
        found, last = [], None
        while some := await page(connection, orders, last, 7):
            found += some
            last = some[-1]

        assert len(whole) == 60
        assert [row["id"] for row in found] == [row["id"] for row in whole], shape


@pytest.mark.parametrize("descending", [False, True])
async def test_rows_without_a_value_come_last_in_both_directions(connection, descending):
    orders = [Order(KEYS["due"], descending), Order(KEYS["id"], descending)]

    dues = [row["due"] for row in await page(connection, orders, None, 1000)]

    known = [due for due in dues if due is not None]
    assert dues == sorted(known, reverse=descending) + [None] * (60 - len(known))
    assert None in dues
