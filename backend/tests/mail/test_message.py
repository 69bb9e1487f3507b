from __future__ import annotations

from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import SMTP
from html.parser import HTMLParser
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.kit.ids import new_id
from app.mail import templating
from app.mail.job_args import EmailArgs
from app.mail.message import compose
from app.mail.templating import Content, render

HEADERS = [
    *("Message-ID", "Date", "From", "To", "Subject", "Auto-Submitted", "MIME-Version", "Content-Type"),
    "Content-Transfer-Encoding",
]
storable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=300)


def parsed(data: bytes) -> EmailMessage:
    message = message_from_bytes(data, policy=SMTP)
    assert isinstance(message, EmailMessage)
    return message


def message_of(subject: str, text: str = "hello", html: str | None = None) -> EmailMessage:
    return parsed(compose(new_id(), "no-reply@tasks.example.com", "ada@example.com", Content(subject, text, html)).data)


@given(storable, storable)
def test_no_subject_and_no_text_adds_a_header(subject: str, text: str) -> None:
    try:
        args = EmailArgs(to="ada@example.com", template="message", values={"subject": subject, "text": text})
    except ValidationError as refused:
        assert [error["type"] for error in refused.errors()] == ["not_one_line"]
        return
    content = render(args.template, args.values)
    message = message_of(content.subject, content.text)
    assert sorted(message.keys()) == sorted(HEADERS)
    assert message.defects == []
    # Spaces at the edges and in a row are the folding's to keep or not; words are not.
    assert str(message["Subject"]).split() == content.subject.split()


@pytest.mark.parametrize(
    "break_", ["\n", "\n\n", "\r", "\r\n", "\r\n ", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"]
)
def test_a_subject_is_one_line(break_: str) -> None:
    with pytest.raises(ValidationError) as refused:
        EmailArgs(
            to="ada@example.com", template="message", values={"subject": f"a{break_}Bcc: b@example.com", "text": ""}
        )
    assert refused.value.errors()[0]["type"] == "not_one_line"


@pytest.mark.parametrize(
    "address", ["a@example.com\r\nBcc: b@example.com", "a@example.com, b@example.com", "a@example.com>"]
)
def test_one_address_is_one_recipient(address: str) -> None:
    with pytest.raises(ValidationError):
        EmailArgs(to=address, template="message", values={"subject": "a", "text": ""})


_ENCODED = ["=?utf-8?q?=0d=0aBcc=3ab?=", "=?utf-8?b?DQpCY2M6IGJAZXhhbXBsZS5jb20=?="]
"""A line break and another header, as RFC 2047 would write them."""


@pytest.mark.parametrize("word", _ENCODED)
@pytest.mark.parametrize("around", ["{}", "Ünïcode {} " * 9, "x" * 70 + "{}"])
def test_what_looks_encoded_is_no_header_and_is_not_decoded(word: str, around: str) -> None:
    subject = around.format(*[word] * 9)
    for recipient in (f"{word}@example.com", f"{word}@{'a' * 60}.example.com", f"ü{word}@example.com"):
        data = compose(new_id(), "a@example.com", recipient, Content(subject, "t")).data
        headers = data.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ").split(b"\r\n")
        assert sorted(line.split(b":")[0].decode() for line in headers) == sorted(HEADERS)
        assert f"To: {recipient}".encode() in headers
        raw = message_from_bytes(data)["Subject"]
        assert str(make_header(decode_header(raw))).split() == subject.split()


@given(storable, storable)
def test_text_and_html_arrive_as_they_were(text: str, html: str) -> None:
    message = message_of("a", text, html)
    plain, rich = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert rich is not None
    for part, sent in ((plain, text), (rich, html)):
        lines = sent.replace("\r\n", "\n").replace("\r", "\n")
        assert part.get_content().replace("\r\n", "\n").removesuffix("\n") == lines.removesuffix("\n")


@given(storable)
def test_every_line_fits_into_the_limit_of_smtp(text: str) -> None:
    data = compose(new_id(), "a@example.com", "b@example.com", Content("s", text * 20, text * 20)).data
    assert data.isascii()
    assert all(len(line) <= 998 for line in data.split(b"\r\n"))
    assert b"\n" not in data.replace(b"\r\n", b"")


def test_the_message_of_a_job_is_the_same_each_time() -> None:
    job_id = UUID("01981f6e-5a3c-7d2e-9a41-3f6f0c9d8b21")
    content = Content("Ünïcode", "hello", "<p>hello</p>")
    first = compose(job_id, "no-reply@tasks.example.com", "ada@example.com", content)
    assert compose(job_id, "no-reply@tasks.example.com", "ada@example.com", content) == first
    message = parsed(first.data)
    assert message["Message-ID"] == f"<{job_id}@tasks.example.com>"
    assert message["Date"].datetime.isoformat() == "2025-07-18T21:26:22+00:00"


def test_a_domain_travels_in_ascii_and_a_name_as_it_is() -> None:
    assert (
        compose(new_id(), "a@example.com", "jorg@exämple.com", Content("s", "t")).recipient == "jorg@xn--exmple-cua.com"
    )
    other = compose(new_id(), "a@example.com", "jörg@exämple.com", Content("s", "t"))
    assert other.recipient == "jörg@xn--exmple-cua.com"
    assert "To: jörg@xn--exmple-cua.com\r\n".encode() in other.data


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[str]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "br":
            self.found.append((tag, [name for name, _ in attrs]))


@pytest.mark.parametrize("name", sorted(templating.names()))
@given(st.data())
def test_no_value_adds_a_tag(name: str, data: st.DataObject) -> None:
    plain = render(name, dict.fromkeys(templating.fields_of(name), "x"))
    given_ = render(
        name, {field: data.draw(storable | st.just('"><script>a</script>')) for field in templating.fields_of(name)}
    )
    assert plain.html is not None
    assert given_.html is not None
    assert Tags(given_.html).found == Tags(plain.html).found


def test_a_template_takes_its_values_and_no_others() -> None:
    for values in ({"subject": "a"}, {"subject": "a", "text": "b", "more": "c"}):
        with pytest.raises(ValidationError) as refused:
            EmailArgs(to="ada@example.com", template="message", values=values)
        assert refused.value.errors()[0]["type"] == "template_values"
    with pytest.raises(ValidationError) as refused:
        EmailArgs(to="ada@example.com", template="../secrets", values={})
    assert refused.value.errors()[0]["type"] == "unknown_template"
