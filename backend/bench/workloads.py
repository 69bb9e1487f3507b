"""The work, W1 to W9: its requests, what a right answer is, and the goal."""

from __future__ import annotations

import http.client
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from bench.rows import PRIORITIES, START, STATUSES, WORDS

PAGE = 50
DEEP_PAGE = 200
READER, WRITER, PATCHER, MIXER = range(4)
"""Whose rows are read, who creates, who changes, who does all of it: places in the state's users."""
_JSON = {"Content-Type": "application/json"}


class WrongAnswer(Exception):
    """A target does not do the work; its figures would mean nothing."""


@dataclass(frozen=True)
class Workload:
    """`cpu_goal`: the server's CPU per request, as a multiple of the floor's. `beside`: what runs meanwhile."""

    title: str
    cpu_goal: float | None = None
    beside: str | None = None
    connections: int | None = None
    p99_goal: float | None = None
    """In milliseconds."""


WORKLOADS = {
    "W1": Workload("GET one task", 3.5),
    "W2": Workload("list 50, newest first", 2.8),
    "W3": Workload("list by status and priority, by due date", 2.8),
    "W4": Workload("create a task", 6.5),
    "W5": Workload("change a status", 6.5),
    "W6": Workload("35% W1, 35% W2, 20% W5, 10% W4", 3.7),
    "W7L": Workload("liveness while W2 runs", beside="W2", connections=2, p99_goal=5),
    "W7R": Workload("readiness while W2 runs", beside="W2", connections=2, p99_goal=15),
    "W8": Workload("page 200 of a walk by cursor", 2.8),
    "W9": Workload("W1 while 4 clients sign in without pause", beside="sign-in"),
}
BESIDE_CONNECTIONS = {"sign-in": 4}
SIGN_IN_GOAL = 2.0
"""p99 of W9, as a multiple of that of W1."""
DEEP_GOAL = 1.1
"""CPU of W8, as a multiple of that of W2: a late page costs what the first one does."""


class Target:
    """An api to be measured, and the state's users signed in to it."""

    def __init__(self, name: str, port: int, users: Sequence[dict[str, Any]]) -> None:
        self.name = name
        self.port = port
        self.users = users
        self._tokens: dict[int, str] = {}

    def sign_in(self) -> None:
        """Anew: access tokens live for minutes."""
        for place in {READER, WRITER, PATCHER, MIXER}:
            self._tokens[place] = self._ask(None, *self._sign_in_request(self._user(place)))["access_token"]

    def requests(self, work: str) -> list[bytes]:
        """What a burst of this work draws from, as it goes over the wire."""
        rng = random.Random(work)
        match work:
            case "W1" | "W9":
                return [self._one(rng, READER) for _ in range(4000)]
            case "W2":
                return [self._raw(READER, "GET", self._list())]
            case "W3":
                return [self._raw(READER, "GET", self._list(*pair)) for pair in _pairs()]
            case "W4":
                return [self._create(rng, WRITER) for _ in range(1000)]
            case "W5":
                return [self._patch(rng, PATCHER) for _ in range(4000)]
            case "W6":
                reads = [self._raw(MIXER, "GET", self._list())] * 1400 + [self._one(rng, MIXER) for _ in range(1400)]
                changes = [self._patch(rng, MIXER) for _ in range(800)]
                return reads + changes + [self._create(rng, MIXER) for _ in range(400)]
            case "W7L":
                return [self._raw(None, "GET", "/health/live")]
            case "W7R":
                return [self._raw(None, "GET", "/health/ready")]
            case "W8":
                return [self._raw(READER, "GET", self._deep_page())]
            case _:
                return [self._raw(None, *self._sign_in_request(user)) for user in self.users]

    def check(self, work: str) -> None:
        """Asks once, by hand. Raises WrongAnswer unless the answer is what the work asks for."""
        match work:
            case "W1" | "W9":
                task_id = self._user(READER)["tasks"][7]
                task = self._ask(READER, "GET", f"/tasks/{task_id}")
                self._must(task["id"] == task_id, "another task than asked for")
            case "W2" | "W8":
                page = self._page(self._list() if work == "W2" else self._deep_page())
                moments = [datetime.fromisoformat(task["created_at"]) for task in page]
                self._must(moments == sorted(moments, reverse=True), "not newest first")
            case "W3":
                for status, priority in _pairs():
                    page = self._page(self._list(status, priority))
                    moments = [datetime.fromisoformat(task["due_at"]) for task in page]
                    self._must(moments == sorted(moments), "not by due date")
                    pairs = {(task["status"], task["priority"]) for task in page}
                    self._must(pairs == {(status, priority)}, "a task outside of the filter")
            case "W4" | "W6":
                body = {
                    "title": "Bench",
                    "description": "",
                    "priority": "low",
                    "due_at": START.isoformat(),
                    "labels": [],
                }
                made = self._ask(WRITER, "POST", "/tasks", body)
                again = self._ask(WRITER, "GET", f"/tasks/{made['id']}")
                self._must(again["title"] == "Bench", "a created task is not there")
            case "W5":
                path = f"/tasks/{self._user(PATCHER)['tasks'][3]}"
                for status in ("done", "todo"):
                    self._ask(PATCHER, "PATCH", path, {"status": status})
                    self._must(self._ask(PATCHER, "GET", path)["status"] == status, "the status was not kept")
            case _:
                self._ask(None, "GET", "/health/ready" if work == "W7R" else "/health/live")

    def _must(self, holds: bool, what: str) -> None:  # noqa: FBT001
        if not holds:
            raise WrongAnswer(f"{self.name}: {what}")

    def _user(self, place: int) -> dict[str, Any]:
        return self.users[place % len(self.users)]

    def _page(self, path: str) -> list[dict[str, Any]]:
        page: list[dict[str, Any]] = self._ask(READER, "GET", path)["items"]
        self._must(len({task["id"] for task in page}) == PAGE, f"not {PAGE} different tasks")
        return page

    def _list(self, status: str = "", priority: str = "") -> str:
        filters = f"&status={status}&priority={priority}&sort=due_at" if status else ""
        return f"/tasks?limit={PAGE}{filters}"

    def _deep_page(self) -> str:
        """The path of the last whole page, at most the 200th, by the cursor that a walk reaches."""
        path = self._list()
        for _ in range(1, min(DEEP_PAGE, len(self._user(READER)["tasks"]) // PAGE)):
            path = f"{self._list()}&cursor={quote(self._ask(READER, 'GET', path)['next_cursor'], safe='')}"
        return path

    def _one(self, rng: random.Random, place: int) -> bytes:
        return self._raw(place, "GET", f"/tasks/{rng.choice(self._user(place)['tasks'])}")

    def _patch(self, rng: random.Random, place: int) -> bytes:
        path = f"/tasks/{rng.choice(self._user(place)['tasks'])}"
        return self._raw(place, "PATCH", path, {"status": rng.choice(STATUSES)})

    def _create(self, rng: random.Random, place: int) -> bytes:
        body = {
            "title": f"Bench {' '.join(rng.choices(WORDS, k=4))}",
            "description": " ".join(rng.choices(WORDS, k=20)),
            "priority": rng.choice(PRIORITIES),
            "due_at": (START + timedelta(hours=rng.randrange(5000))).isoformat(),
            "labels": rng.sample(self._user(place)["labels"], 2),
        }
        return self._raw(place, "POST", "/tasks", body)

    def _sign_in_request(self, user: dict[str, Any]) -> tuple[str, str, str]:
        form = {"grant_type": "password", "username": user["email"], "password": user["password"]}
        return "POST", "/auth/login", urlencode(form)

    def _parts(self, place: int | None, body: Any) -> tuple[dict[str, str], bytes]:
        headers = {} if place is None else {"Authorization": f"Bearer {self._tokens[place]}"}
        if body is None:
            return headers, b""
        if isinstance(body, str):
            return headers | {"Content-Type": "application/x-www-form-urlencoded"}, body.encode()
        return headers | _JSON, json.dumps(body).encode()

    def _raw(self, place: int | None, method: str, path: str, body: Any = None) -> bytes:
        headers, content = self._parts(place, body)
        headers = {"Host": f"127.0.0.1:{self.port}", "Accept": "application/json", **headers}
        if content:
            headers["Content-Length"] = str(len(content))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content

    def _ask(self, place: int | None, method: str, path: str, body: Any = None) -> Any:
        headers, content = self._parts(place, body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, content or None, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            raise WrongAnswer(f"{self.name}: {method} {path} answered {answer.status}: {text[:300]}")
        return json.loads(text)


def _pairs() -> list[tuple[str, str]]:
    return [(status, priority) for status in STATUSES for priority in PRIORITIES]
