"""What Alembic runs. `app.infra.migrations` hands its connection over; the bare `alembic` command makes its own."""

import asyncio

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Connection, pool
from sqlalchemy.dialects.postgresql.base import PGDialect

from app.infra import migrations
from app.infra.database import make_engine
from app.infra.settings import Settings
from app.models import Base
from app.models.change import Xid8

# Reflection meets the column type that changes.xact has.
PGDialect.ischema_names["xid8"] = Xid8


def _render_item(kind: str, item: object, autogen: object) -> str | bool:
    if kind == "type" and isinstance(item, Xid8):
        autogen.imports.add("from app.models.change import Xid8")  # type: ignore[attr-defined]
        return "Xid8()"
    return False


def _applied(*, ctx: MigrationContext, step: MigrationInfo, **_: object) -> None:
    migrations.note_applied(ctx, step)
    if tell := context.config.attributes.get("applied"):
        tell(step)


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        render_item=_render_item,
        transaction_per_migration=True,
        on_version_apply=_applied,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _connect_and_run() -> None:
    engine = make_engine(str(Settings().database_url), {}, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_run)
        await connection.commit()
    await engine.dispose()


if context.is_offline_mode():
    context.configure(
        dialect_name="postgresql",
        target_metadata=Base.metadata,
        literal_binds=True,
        transaction_per_migration=True,
        on_version_apply=_applied,
    )
    with context.begin_transaction():
        context.run_migrations()
elif (given := context.config.attributes.get("connection")) is not None:
    _run(given)
else:
    asyncio.run(_connect_and_run())
