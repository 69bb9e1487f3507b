"""The figures as tables and a chart, on the terminal and in `docs/reference/performance.md`."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.measuring import RATE_LIMIT_SCALE, Figures
from bench.workloads import DEEP_GOAL, SIGN_IN_GOAL, WORKLOADS

NOTES = Path(__file__).with_name("notes.md")
"""Written by people: what the costs are spent on. Stands at the end of the page."""
_HEADINGS = ("work", "", "goal", "CPU per request, x floor", "requests/s, x floor", "measured", "")
_BAR_CELLS = 50


def _told(ratio: tuple[float, float, float]) -> str:
    return f"{ratio[0]:.2f} [{ratio[1]:.2f}-{ratio[2]:.2f}]"


def _verdict(value: float, goal: float) -> str:
    return "met" if value <= goal else f"missed by {100 * (value / goal - 1):.0f}%"


def _rows(figures: Figures) -> Iterator[tuple[str, ...]]:
    for work in figures.rounds:
        title, p99 = WORKLOADS[work].title, figures.median(work, "p99")
        if (goal := WORKLOADS[work].cpu_goal) is not None:
            cpu, rate = figures.ratio(work, "cpu"), figures.ratio(work, "rate")
            yield work, title, f"CPU <= {goal}x", _told(cpu), _told(rate), "", _verdict(cpu[0], goal)
        elif (goal := WORKLOADS[work].p99_goal) is not None:
            yield work, title, f"p99 <= {goal} ms", "", "", f"{p99:.1f} ms", _verdict(p99, goal)
        elif "W1" in figures.rounds:
            times = p99 / figures.median("W1", "p99")
            yield work, title, f"p99 <= {SIGN_IN_GOAL}x W1's", "", "", f"{times:.2f}x", _verdict(times, SIGN_IN_GOAL)
    if {"W2", "W8"} <= set(figures.rounds):
        times = figures.median("W8", "cpu") / figures.median("W2", "cpu")
        yield (
            "W8",
            "the same beside page 1",
            f"CPU <= {DEEP_GOAL}x W2's",
            "",
            "",
            f"{times:.2f}x",
            _verdict(times, DEEP_GOAL),
        )


def chart(figures: Figures) -> str:
    """A bar for each work with a goal on CPU; `|` marks the goal."""
    ratios = {work: figures.ratio(work, "cpu")[0] for work in figures.rounds if WORKLOADS[work].cpu_goal}
    if not ratios:
        return ""
    scale = _BAR_CELLS / max(*ratios.values(), *(WORKLOADS[work].cpu_goal or 0 for work in ratios))
    lines = ["CPU per request, times the floor's (█), and the goal (|)"]
    for work, ratio in ratios.items():
        cells = list(f"{'█' * round(ratio * scale):<{_BAR_CELLS + 1}}")
        cells[round((WORKLOADS[work].cpu_goal or 0) * scale)] = "|"
        lines.append(f"{work}  {''.join(cells)}  {ratio:.2f}")
    return "\n".join(lines)


def table(figures: Figures) -> str:
    rows = [_HEADINGS, *_rows(figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in rows
    )


def write(figures: Figures, command: str, root: Path) -> Path:
    """Writes the page; returns its path."""
    page = root / "docs" / "reference" / "performance.md"
    page.write_text(f"""# Performance

<!-- Written by `./run bench`, its last part from backend/bench/notes.md. -->

The api beside its **floor**: a raw ASGI application (`backend/bench/floor.py`) that does the same work with prepared
statements on one flat table, and nothing else. Each is one process; they take turns, and share the machine with the
database and the load. Figures are medians of the rounds with [lowest-highest]. Absolute times say nothing about another
machine, so they are given only where the goal is one.

```text
{chart(figures)}
```

{table(figures)}

`{command}` at commit {_commit(root)}, Python {platform.python_version()}, {os.cpu_count()} cores. The configuration is the
shipped one; rate limits are on, {RATE_LIMIT_SCALE:,} times as wide as shipped, so that none refuses the load.

{NOTES.read_text()}""")
    return page


def _commit(root: Path) -> str:
    command = ["git", "describe", "--always", "--dirty=, with changes", "--exclude=*"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
