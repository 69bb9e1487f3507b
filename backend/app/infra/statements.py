"""Core statements compiled once, for the paths where SQLAlchemy's execution is what a request mostly costs.

Measured on a read of one task: the ordinary asynchronous path adds 0.14 ms of CPU to asyncpg's own (docs/adr/0002).
A `Statement` runs as one autocommitted statement on the driver, or, inside a transaction, on its session. Both ways
give the same rows; `DATABASE_COMPILED_STATEMENTS=false` takes the ordinary path everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Executable

_DIALECT = asyncpg_dialect()  # type: ignore[no-untyped-call]


class Statement:
    """One statement with named parameters (`bindparam`), made at import and shared by everyone."""

    def __init__(self, executable: Executable) -> None:
        compiled = executable.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": False})  # type: ignore[attr-defined]
        self.executable = executable
        self.sql: str = str(compiled)
        self._defaults: dict[str, Any] = dict(compiled.params)
        processors = compiled._bind_processors  # noqa: SLF001  the only way to the types' own conversions
        self._binds: list[tuple[str, Callable[[Any], Any] | None]] = [
            (name, processors.get(name)) for name in compiled.positiontup
        ]

    def arguments(self, params: Mapping[str, Any]) -> list[Any]:
        """The values in the order of `$1, $2, ...`. Raises KeyError for one that is missing."""
        defaults = self._defaults
        values = []
        for name, process in self._binds:
            value = params[name] if name in params else defaults[name]
            values.append(process(value) if process is not None and value is not None else value)
        return values
