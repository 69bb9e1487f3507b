"""Makes Grafana's dashboards from `deploy/monitoring/grafana/dashboards.yml`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

GRAFANA = Path(__file__).resolve().parents[2] / "deploy" / "monitoring" / "grafana"
_WIDTH = 24
_HEIGHT = 8


def files() -> dict[Path, str]:
    """Each dashboard's file with what belongs in it."""
    described = yaml.safe_load((GRAFANA / "dashboards.yml").read_text())
    return {GRAFANA / "dashboards" / f"{name}.json": _dashboard(name, **about) for name, about in described.items()}


def _dashboard(name: str, title: str, panels: list[Any]) -> str:
    dashboard = {
        "uid": f"taskapi-{name}",
        "title": title,
        "tags": ["taskapi"],
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["taskapi"], "title": "Others", "asDropdown": True}],
        "panels": _laid_out(panels),
    }
    return json.dumps(dashboard, indent=1) + "\n"


def _laid_out(panels: list[Any]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    x = y = 0
    for panel in panels:
        row = isinstance(panel, str)
        width, height = (_WIDTH, 1) if row else (panel.get("width", _HEIGHT), _HEIGHT)
        if x + width > _WIDTH:
            x, y = 0, y + _HEIGHT
        place = {"id": len(made) + 1, "gridPos": {"x": x, "y": y, "w": width, "h": height}}
        content = {"type": "row", "title": panel, "collapsed": False, "panels": []} if row else _panel(panel)
        made.append(place | content)
        x += width
        if x == _WIDTH:
            x, y = 0, y + height
    return made


def _panel(panel: dict[str, Any]) -> dict[str, Any]:
    kind = panel.get("kind", "timeseries")
    source = "loki" if kind == "logs" else "prometheus"
    datasource = {"type": source, "uid": source}
    return {
        "type": kind,
        "title": panel["title"],
        "datasource": datasource,
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": datasource, "expr": query, "legendFormat": legend}
            for number, (legend, query) in enumerate(panel["queries"].items())
        ],
        "fieldConfig": {"defaults": {"unit": panel.get("unit", "none"), "min": 0}, "overrides": []},
    }
