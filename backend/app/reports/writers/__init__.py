"""A report as a file, in one of three formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.reports.writers.html_page import html_page
from app.reports.writers.pdf_document import pdf_document
from app.reports.writers.table import table

if TYPE_CHECKING:
    from app.reports.figures import Figures
    from app.reports.schemas import Format

MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
}


def written(figures: Figures, kind: Format) -> bytes:
    return {"csv": table, "html": html_page, "pdf": pdf_document}[kind](figures)
