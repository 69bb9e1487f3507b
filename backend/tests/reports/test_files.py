"""What people open: the HTML page, the PDF document, the table."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from io import BytesIO

import pytest
from pypdf import PdfReader

from app.kit.clock import utc_now

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(1)> \"'&"
UNICODE = "Łukasz Größe дом Ωμέγα"


@pytest.fixture
async def garden(add, label, ada, bob, join, api) -> None:
    """Something of everything, people's words as bad as they come."""
    await join(bob, HOSTILE)
    spring, formula = await label(UNICODE), await label("=SUM(A1)")
    late = utc_now() - timedelta(days=3)
    await add(HOSTILE, people=(bob.user_id,), labels=(formula,), created_at=late, due_at=late)
    await add("=cmd|' /C calc'!A0", people=(ada.user_id,), labels=(spring,), created_at=late, due_at=late)
    await add("買い物 \u202e🌱", created_at=late, due_at=late)
    await add(created_at=late, completed_at=utc_now(), labels=(spring,))


class Page(HTMLParser):
    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_the_page_is_whole_in_itself_and_runs_nothing(garden, report) -> None:
    content = await report(format="html")
    page = Page(content)

    assert {tag for tag, _ in page.tags} & {"script", "img", "link", "iframe", "object", "form", "base"} == set()
    names = {name for _, attributes in page.tags for name in attributes}
    assert not {name for name in names if name.startswith("on") or name in {"src", "href", "xlink:href", "action"}}
    assert not re.search(rb"url\(|@import|https?:", content)
    policy = next(attributes for tag, attributes in page.tags if "http-equiv" in attributes)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


async def test_what_people_wrote_is_shown_as_they_wrote_it(garden, report) -> None:
    page = Page(await report(format="html"))

    for words in (HOSTILE, UNICODE, "=SUM(A1)", "買い物"):
        assert words in page.text
    assert "prefers-color-scheme: dark" in page.text


async def test_each_chart_says_what_it_shows(garden, report) -> None:
    page = Page(await report(format="html"))

    said = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    assert len(said) == 5
    assert said[0] == "4 tasks created and 1 done, by day"
    assert "ada@example.com: 0 done, 1 open, 1 of them overdue" in said[3]


async def test_an_empty_workspace_has_a_report_too(ada, report) -> None:
    page = Page(await report(format="html"))

    assert page.text.count("There is nothing to show.") == 2
    assert "Nothing is late." in page.text
    assert len(PdfReader(BytesIO(await report(format="pdf"))).pages) == 2


async def test_the_document_has_real_text_in_every_european_script(garden, report) -> None:
    document = PdfReader(BytesIO(await report(format="pdf")))
    text = "\n".join(page.extract_text() for page in document.pages)

    for words in (UNICODE, "Created and done", "ada@example.com", "=SUM(A1)"):
        assert words in text
    assert "□□□ □" in text, "what the font lacks is a square, and what steers the eye is left out"
    assert "stands for a character that the font of this document does not have" in text
    assert document.metadata.title.startswith("Personal: ")


async def test_no_cell_of_the_table_is_a_formula(garden, report) -> None:
    content = (await report(format="csv")).decode()

    assert "label,'=SUM(A1),open,1" in content
    assert not re.search(r"(^|,)\"?[=+@]", content, re.MULTILINE)


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [("csv", "text/csv; charset=utf-8"), ("html", "text/html; charset=utf-8"), ("pdf", "application/pdf")],
)
async def test_the_result_of_the_job_is_the_file(api, app, ada, kind, media_type) -> None:
    from app.worker.testing import run_jobs_until_idle
    from tests.reports.conftest import stored

    answer = await api.post("/reports", json={"format": kind, "since": "2026-03-01", "until": "2026-03-31"})
    await run_jobs_until_idle(app.state.settings)
    job = (await api.get(answer.headers["Location"])).json()

    content = await stored(app, job["result"]["file_id"])
    assert job["result"] == {
        "file_id": job["result"]["file_id"],
        "name": f"report-2026-03-01-to-2026-03-31.{kind}",
        "media_type": media_type,
        "size": len(content),
    }
    assert job["progress"] == {"current": 2, "total": 3, "message": "storing"}
