"""Cells of a table that people open in a spreadsheet."""

_NEUTRAL = tuple("=+-@\t\r'")


def neutral(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: a quote stands before one that would begin like it, or with a quote."""
    return f"'{cell}" if cell.startswith(_NEUTRAL) else cell


def restored(cell: str) -> str:
    """What `neutral` was given."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_NEUTRAL) else cell
