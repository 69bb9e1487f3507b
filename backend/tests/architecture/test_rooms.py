"""Every room of the house stands on its floor and has its line in the documentation."""

from __future__ import annotations

import tomllib

import pytest

from tools.reference import BACKEND, ROOT

ROOMS = sorted(path.name for path in (BACKEND / "app").iterdir() if (path / "__init__.py").exists())


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_its_line_in_the_architecture(room: str) -> None:
    assert f"| `{room}/` |" in (ROOT / "docs" / "architecture.md").read_text()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is(room: str) -> None:
    assert (BACKEND / "app" / room / "__init__.py").read_text().startswith('"""')


def test_the_floors_in_the_documentation_are_those_of_the_linter() -> None:
    contracts = tomllib.loads((BACKEND / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    order = {room: floor for floor, layer in enumerate(layers) for room in layer.split(" | ")}
    page = (ROOT / "docs" / "architecture.md").read_text()
    listed = [
        line.split("`")[1].rstrip("/") for line in page.splitlines() if line.startswith("| ") and "| `" in line[:45]
    ]
    documented = [room for room in listed if room in order]
    assert sorted(documented) == sorted(order)
    assert [order[room] for room in documented] == sorted(order[room] for room in documented)
