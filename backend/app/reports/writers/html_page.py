from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from app.reports import charts
from app.reports.drawing import TONES
from app.reports.figures import Figures, long_day
from app.reports.writers.tiles import tiles

_TEMPLATES = Path(__file__).parents[1] / "templates"


@cache
def _template() -> Template:
    # Everything that people wrote is escaped: titles, names, labels.
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["long_day"] = long_day
    return environment.get_template("report.html")


def html_page(figures: Figures) -> bytes:
    """One file with everything in it: no script, nothing from elsewhere, light and dark as the reader's system says."""
    return (
        _template()
        .render(
            figures=figures,
            tiles=tiles(figures),
            tones=TONES,
            throughput=charts.throughput(figures),
            halves=[charts.ageing(figures), charts.lateness(figures)],
            shares=[charts.people(figures), charts.labels(figures)],
        )
        .encode()
    )
