"""The figures as a page with a chart: `docs/reference/performance.md` and `.svg`."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.measuring import RATE_LIMIT_SCALE, Figures
from bench.workloads import WORKLOADS

NOTES = Path(__file__).with_name("notes.md")
"""Written by people: what the costs are spent on. Stands at the end of the page."""
_W9_GOAL = 2.0
_W8_GOAL = 1.1
_HEADINGS = ("Work", "", "Goal", "CPU per request, x floor", "requests/s, x floor", "p99", "")


def told(ratio: tuple[float, float, float]) -> str:
    return f"{ratio[0]:.2f}x [{ratio[1]:.2f}-{ratio[2]:.2f}]"


def verdict(value: float, goal: float) -> str:
    return "met" if value <= goal else f"missed by {100 * (value / goal - 1):.0f}%"


def rows(figures: Figures) -> Iterator[tuple[str, ...]]:
    """A row for each work, then one for each figure that sets two works of the product against each other."""
    for work in figures.rounds:
        workload = WORKLOADS[work]
        p99 = figures.median(work, "p99")
        if workload.cpu_goal is not None:
            cpu = figures.ratio(work, "cpu")
            met = verdict(cpu[0], workload.cpu_goal)
            yield (
                work,
                workload.title,
                f"CPU <= {workload.cpu_goal}x",
                told(cpu),
                told(figures.ratio(work, "rate")),
                "",
                met,
            )
        elif workload.p99_goal is not None:
            met = verdict(p99, workload.p99_goal)
            yield work, workload.title, f"p99 <= {workload.p99_goal:.0f} ms", "", "", f"{p99:.1f} ms", met
        elif "W1" in figures.rounds:
            times = p99 / figures.median("W1", "p99")
            goal = f"p99 <= {_W9_GOAL:.0f}x that of W1"
            yield work, workload.title, goal, "", "", f"{times:.2f}x", verdict(times, _W9_GOAL)
    if {"W2", "W8"} <= set(figures.rounds):
        times = figures.median("W8", "cpu") / figures.median("W2", "cpu")
        goal = f"CPU <= {_W8_GOAL}x page 1"
        yield "W8", "page 200 beside page 1", goal, f"{times:.2f}x W2", "", "", verdict(times, _W8_GOAL)


def text(figures: Figures) -> str:
    """The table for a terminal."""
    table = [_HEADINGS, *rows(figures)]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEADINGS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table)
    return "\n".join(lines)


def write(figures: Figures, command: str, root: Path) -> Path:
    """Writes the page and its chart; returns the page's path."""
    page = root / "docs" / "reference" / "performance.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.with_suffix(".svg").write_text(chart(figures))
    table = "\n".join(f"| {' | '.join(row)} |" for row in (_HEADINGS, ("---",) * len(_HEADINGS), *rows(figures)))
    page.write_text(
        "# Performance\n\n<!-- Written by `./run bench`; the notes at the end come from backend/bench/notes.md. -->\n\n"
        "The api beside its **floor**: a raw ASGI application (`backend/bench/floor.py`) that answers the same requests from\n"
        "prepared statements on one flat table, and does nothing else. Both run in one process each, take turns, and share the\n"
        "machine with their database and with the load. Ratios are medians over the rounds, with [lowest-highest]; absolute\n"
        "times say nothing about another machine and are not given, but where the goal is one.\n\n"
        f"![CPU per request as a multiple of the floor's](performance.svg)\n\n{table}\n\n"
        f"`{command}` at commit {_commit(root)}, Python {platform.python_version()}, {os.cpu_count()} cores. The configuration is\n"
        f"the shipped one; rate limits are on, with amounts ({RATE_LIMIT_SCALE:,} times the usual) that none is refused.\n"
        + (f"\n{NOTES.read_text()}" if NOTES.exists() else "")
    )
    return page


def _commit(root: Path) -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"], cwd=root, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


_BAR_LEFT, _BAR_WIDTH, _ROW_HEIGHT = 330, 360, 30


def chart(figures: Figures) -> str:
    """A bar for each work with a goal on CPU: the ratio, its spread, and the goal as a mark."""
    works = [work for work in figures.rounds if WORKLOADS[work].cpu_goal is not None]
    ratios = {work: figures.ratio(work, "cpu") for work in works}
    most = max([ratio[2] for ratio in ratios.values()] + [WORKLOADS[work].cpu_goal or 0 for work in works], default=1)
    bars = "".join(
        _bar(place, work, ratios[work], WORKLOADS[work].cpu_goal or 0, _BAR_WIDTH / most)
        for place, work in enumerate(works)
    )
    height = 60 + _ROW_HEIGHT * len(works)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{height}" viewBox="0 0 760 {height}" '
        'font-family="sans-serif" font-size="13" role="img">\n'
        "<title>CPU per request as a multiple of the floor's</title>\n"
        '<rect width="100%" height="100%" fill="#fff"/>\n'
        '<text x="12" y="26" font-size="15">Server CPU per request, times the floor (less is better)</text>\n'
        f'{bars}<text x="12" y="{height - 10}" fill="#666">bar: median; thin line: lowest to highest round; | goal</text>\n</svg>\n'
    )


def _bar(place: int, work: str, ratio: tuple[float, float, float], goal: float, scale: float) -> str:
    top = 42 + place * _ROW_HEIGHT
    median, low, high = (value * scale for value in ratio)
    color = "#4c8c5a" if ratio[0] <= goal else "#c0562f"
    middle, mark = top + 9, _BAR_LEFT + goal * scale
    return (
        f'<text x="12" y="{top + 14}">{work}  {WORKLOADS[work].title}</text>\n'
        f'<rect x="{_BAR_LEFT}" y="{top}" width="{median:.1f}" height="18" fill="{color}"/>\n'
        f'<line x1="{_BAR_LEFT + low:.1f}" x2="{_BAR_LEFT + high:.1f}" y1="{middle}" y2="{middle}" stroke="#222"/>\n'
        f'<line x1="{mark:.1f}" x2="{mark:.1f}" y1="{top - 3}" y2="{top + 21}" stroke="#222" stroke-width="2"/>\n'
        f'<text x="{_BAR_LEFT + 5}" y="{top + 14}" fill="#fff">{ratio[0]:.2f}</text>\n'
    )
