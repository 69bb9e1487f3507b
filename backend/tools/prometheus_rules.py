"""The alert rules of `deploy/monitoring` once more, as the Prometheus operator reads them: Kubernetes runs the same ones."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "monitoring" / "prometheus" / "rules"
MANIFEST = ROOT / "deploy" / "k8s" / "components" / "monitoring" / "prometheus-rule.yaml"
_HEAD = """\
# Written by `./run docs` from deploy/monitoring/prometheus/rules; a test compares.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: taskapi}
spec:
  groups:
"""


def manifest() -> str:
    """The groups of all files in one."""
    groups = (path.read_text().split("\ngroups:\n", 1) for path in sorted(RULES.glob("*.yml")))
    return _HEAD + "".join(indent(found[-1].removeprefix("groups:\n"), "  ") for found in groups)
