"""A client of forty lines, on the standard library alone: what a script needs to speak to the service."""

from __future__ import annotations

import json
import re
import secrets
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class Answer:
    status: int
    headers: Any
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class Client:
    base_url: str
    token: str | None = None
    log: list[str] = field(default_factory=list)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        form: dict[str, str] | None = None,
        file: tuple[str, bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """`body` goes as JSON, `form` as a form, `file` (with `form` beside it) as multipart/form-data."""
        sent = dict(headers or {})
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        data = None
        if file is not None:
            sent["Content-Type"], data = _multipart(form or {}, file)
        elif form is not None:
            data = urllib.parse.urlencode(form).encode()
        elif body is not None:
            sent["Content-Type"], data = "application/json", json.dumps(body).encode()
        request = urllib.request.Request(self.base_url + path, data, sent, method=method)  # noqa: S310  http, by the caller
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                result = Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            result = Answer(error.code, error.headers, error.read())
        shown = _UUID.sub(lambda found: f"{found[0][:8]}...", path)
        self.log.append(f"{method:6} {shown:49} {result.status}")
        return result


def _multipart(fields: dict[str, str], file: tuple[str, bytes]) -> tuple[str, bytes]:
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{file[0]}"\r\n\r\n'
    parts += [head.encode(), file[1], f"\r\n--{boundary}--\r\n".encode()]
    return f"multipart/form-data; boundary={boundary}", b"".join(parts)
