"""What watches the service speaks of figures that it has, and every alarm has a page that is true."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main
import yaml
from sqlalchemy import text

from app.cli import main
from app.core.app_factory import create_app
from app.health.service import RUNBOOKS
from app.infra.database import Database
from app.infra.settings import Settings
from tools import dashboards
from tools.reference import BACKEND, REFERENCE, ROOT

MONITORING = ROOT / "deploy" / "monitoring"
RULES = sorted((MONITORING / "prometheus" / "rules").glob("*.yml"))
BOOKS = ROOT / RUNBOOKS
PAGES = sorted(BOOKS.glob("*.md"))
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for path in RULES
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
}
CHECKS = ["database", "redis", "redis_policy", "celery_workers", "celery_beat", "disk_space", "memory"]


def blocks(language: str) -> list[Any]:
    return [
        pytest.param(block, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, block in enumerate(re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL))
    ]


def series() -> dict[str, set[str]]:
    """Every series of the reference page, with its labels."""
    found = {}
    for name, kind, labels in re.findall(r"\| `(\w+)` \| (\w+) \| (.*?) \|", (REFERENCE / "metrics.md").read_text()):
        known = set(re.findall(r"`(\w+)`", labels))
        if kind == "histogram":
            found |= {name + "_bucket": known | {"le"}, name + "_sum": known, name + "_count": known}
        else:
            found[name] = known
    return found


SERIES = series()


def check_query(query: str) -> None:
    for name, matchers in re.findall(r"\b(taskapi_\w+)(?:\{([^}]*)\})?", query):
        assert name in SERIES, name
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', matchers)):
            assert label in SERIES[name], (name, label)


def labels_of(query: str) -> set[str]:
    """What its answer is told apart by: what it is grouped by, which must be labels of its figures, or else all of theirs."""
    known = {"job", "instance"}.union(*(SERIES.get(name, set()) for name in re.findall(r"\btaskapi_\w+", query)))
    groups = [set(re.findall(r"\w+", group)) for group in re.findall(r"\bby \(([^)]*)\)", query)]
    for group in groups:
        assert group <= known, (group - known, query)
    return set().union(*groups) if groups else known


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_made_of_figures_that_there_are(alert: str) -> None:
    check_query(ALERTS[alert]["expr"])
    told = set(re.findall(r"\$labels\.(\w+)", str(ALERTS[alert]["annotations"])))
    assert told <= labels_of(ALERTS[alert]["expr"])
    for check in re.findall(r'check="(\w+)"', ALERTS[alert]["expr"]):
        assert check in CHECKS


@pytest.mark.parametrize("path", dashboards.files(), ids=lambda path: path.stem)
def test_a_dashboard_is_what_its_description_says_and_shows_figures_that_there_are(path: Path) -> None:
    made = dashboards.files()[path]
    assert path.read_text() == made, "run ./run docs"
    for panel in json.loads(made)["panels"]:
        for target in panel.get("targets", []):
            check_query(target["expr"])
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels_of(target["expr"]), target
            assert set(re.findall(r'check="(\w+)"', target["expr"])) <= set(CHECKS)


@pytest.mark.parametrize("query", blocks("promql"))
def test_a_query_of_a_runbook_asks_for_figures_that_there_are(query: str) -> None:
    check_query(query)


def test_every_figure_is_on_a_dashboard_or_in_an_alert() -> None:
    used = "".join(dashboards.files().values()) + "".join(rule["expr"] for rule in ALERTS.values())
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in SERIES}
    assert {name for name in names if name not in used} <= {"taskapi_http_request_duration_seconds"}


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_page_and_is_tried(alert: str) -> None:
    page = ALERTS[alert]["annotations"]["runbook"]
    for check in CHECKS if "{{" in page else [""]:
        assert (ROOT / page.replace("{{ $labels.check }}", check)).exists()
    tried = "".join(path.read_text() for path in (MONITORING / "prometheus" / "tests").glob("*.yml"))
    assert tried.count(f"alertname: {alert}\n") == 1
    assert tried.count(f"alertname: {alert}, ") == 1, "when it must not fire"


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "README"], ids=lambda page: page.stem)
def test_a_page_says_cause_check_and_mend_and_is_in_the_list(page: Path) -> None:
    assert re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE) == ["Cause", "Check", "Mend"]
    assert f"({page.name})" in (BOOKS / "README.md").read_text()
    for target in re.findall(r"\]\((\w+\.md)\)", page.read_text()):
        assert (BOOKS / target).exists()


def test_every_reason_is_explained() -> None:
    assert (BOOKS / "README.md").exists()
    explained = "".join(page.read_text() for page in PAGES)
    for path in (BACKEND / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id="CheckFailed"), args=[ast.Constant(value=code), *_]):
                    assert f"`{code}`" in explained, code
    for check in CHECKS:
        assert (BOOKS / f"{check}.md").exists()


def command_lines() -> list[Any]:
    lines = {
        (page.stem, found.strip())
        for page in PAGES
        for found in re.findall(r"taskapi ((?:[\w.-]+ ?)+(?:--?\w[\w-]* ?\w*)*)", page.read_text())
        if page.stem != "README"
    }
    return [pytest.param(line, id=f"{page}: {line}") for page, line in sorted(lines)]


@pytest.mark.parametrize("line", command_lines())
def test_a_command_of_a_runbook_is_one_that_there_is(line: str) -> None:
    command: Any = typer.main.get_command(main)
    words = shlex.split(line)
    while isinstance(command, click.Group) or hasattr(command, "commands"):
        assert words, line
        assert words[0] in command.commands, line
        command = command.commands[words.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_a_route_of_a_runbook_is_one_that_there_is(settings: Settings) -> None:
    routes = set(create_app(settings).openapi()["paths"])
    for page in PAGES:
        for path in re.findall(r"`(?:GET|POST) (/[^`]+)`", page.read_text()):
            assert path in routes, (page.name, path)


def test_a_setting_of_a_runbook_is_one_that_there_is() -> None:
    known = {name.upper() for name in Settings.model_fields}
    beside = {"REDIS_PASSWORD", "DB_PASSWORD"}  # of the compose file
    for page in PAGES:
        for name in re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", page.read_text()):
            assert name in known | beside, (page.name, name)


@pytest.mark.parametrize("statement", blocks("sql"))
async def test_the_sql_of_a_runbook_runs(database: Database, statement: str) -> None:
    async with database.engine.connect() as connection:
        await connection.execute(text(statement))


def test_prometheus_asks_every_worker_and_beat_of_the_compose_file() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.prod.yml").read_text())["services"]
    jobs = yaml.safe_load((MONITORING / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    asked = {name for job in jobs for sd in job.get("dns_sd_configs", []) for name in sd["names"]}
    running = {
        name for name, service in services.items() if service.get("command", [""])[0] in {"serve", "worker", "beat"}
    }
    assert running <= asked


def test_the_alert_of_a_silent_process_knows_every_job_of_ours() -> None:
    (named,) = re.findall(r'up\{job=~"([\w|]+)"\}', ALERTS["TargetDown"]["expr"])
    jobs = yaml.safe_load((MONITORING / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert set(named.split("|")) == {job["job_name"] for job in jobs if "dns_sd_configs" in job}
    monitors = (ROOT / "deploy" / "k8s" / "components" / "monitoring" / "monitors.yaml").read_text()
    api, others = (monitor["spec"] for monitor in yaml.safe_load_all(monitors))
    component = "app.kubernetes.io/component"
    assert api["jobLabel"] == others["jobLabel"] == component
    selected = [api["selector"]["matchLabels"][component], *others["selector"]["matchExpressions"][0]["values"]]
    assert set(named.split("|")) == set(selected)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_the_alerts_fire_when_they_have_to() -> None:
    tests = sorted((MONITORING / "prometheus" / "tests").glob("*.yml"))
    done = subprocess.run(["promtool", "test", "rules", *map(str, tests)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted(MONITORING.rglob("*.yml")), ids=lambda path: path.name)
def test_a_file_is_yaml_without_repeated_keys(path: Path) -> None:
    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value]
        assert len(keys) == len(set(keys)), keys
        return yaml.SafeLoader.construct_mapping(loader, node, deep=True)

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    yaml.load(path.read_text(), Strict)  # noqa: S506  a safe one
