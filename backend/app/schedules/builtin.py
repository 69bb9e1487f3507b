"""The schedules that come with the product. A beat brings the table in line with these when it starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BuiltIn:
    name: str
    kind: str
    interval_seconds: int


BUILT_IN = (
    BuiltIn("health-probe", "health.probe", 15),
    BuiltIn("cleanup", "maintenance.cleanup", 300),
)
