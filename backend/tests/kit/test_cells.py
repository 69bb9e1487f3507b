from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.kit.cells import neutral, restored

cells = st.one_of(st.text(), st.text("=+-@\t\r'a1", max_size=6))


@given(cells)
def test_a_neutral_cell_begins_no_formula_and_is_restored(cell) -> None:
    assert not neutral(cell).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert restored(neutral(cell)) == cell
