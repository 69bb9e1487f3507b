"""`./run demo`: the tour of the README against a running service; each step checks what it shows."""

from __future__ import annotations

import os
import secrets
import sys
import time
from pathlib import Path
from typing import Any

from demo.client import Answer, Client

FILES = Path(__file__).parent / "files"
FINAL = ("completed", "cancelled", "discarded")
PATIENCE = 60
"""Seconds to wait for a job."""


class Tour:
    def __init__(self, base_url: str) -> None:
        self.client = Client(base_url)

    def show(self, what: str, answer: Answer | None = None, expect: int | None = None) -> None:
        """A heading, or a call with what it shows. Ends the tour when the status is another one than expected."""
        if answer is not None and expect is not None and answer.status != expect:
            sys.stdout.write(f"FAILED {what}: {answer.status} {answer.content.decode(errors='replace')}\n")
            raise SystemExit(1)
        if answer is None:
            self.say(f"\n{what}")
        else:
            self.say(f"  {self.client.log[-1]:60} {what}")

    def say(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def check(self, what: str, *, holds: bool) -> None:
        if not holds:
            sys.stdout.write(f"FAILED {what}\n")
            raise SystemExit(1)

    def sign_in(self) -> None:
        self.show("Sign in")
        email, password = f"ada.{secrets.token_hex(4)}@example.com", f"tour-{secrets.token_urlsafe(12)}"
        answer = self.client.call("POST", "/auth/register", {"email": email, "password": password, "name": "Ada"})
        self.show(email, answer, 201)
        answer = self.client.call("POST", "/auth/login", form={"username": email, "password": password})
        self.show("a token for 15 minutes, a refresh token for 30 days", answer, 200)
        self.client.token = answer.json()["access_token"]

    def bring_lists(self) -> None:
        self.show("Bring the lists from other products")
        for name in ("todoist-garden.csv", "todo.txt", "trello-board.json"):
            job = self.run_import(name, (FILES / name).read_bytes())
            result = job["result"]
            counts = ("tasks", "subtasks", "done", "archived", "labels", "comments")
            summary = ", ".join(f"{result[key]} {key}" for key in counts)
            self.say(f"    {result['format']}: {summary}")
            for warning in result["warnings"][:2]:
                self.say(f"    warning: {warning['message']}")

    def run_import(self, name: str, content: bytes) -> dict[str, Any]:
        answer = self.client.call("POST", "/tasks/import", file=(name, content))
        self.show(f"{name} is a job now", answer, 202)
        return self.wait_for(answer.headers["Location"])

    def wait_for(self, location: str) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while True:
            job: dict[str, Any] = self.client.call("GET", location).json()
            if job["state"] in FINAL:
                self.check(f"job {job['state']}: {job}", holds=job["state"] == "completed")
                return job
            self.check("the job did not end: is a worker running?", holds=time.monotonic() < until)
            time.sleep(0.1)

    def find(self) -> None:
        self.show("Find")
        answer = self.client.call("GET", "/tasks?q=creme+brulee")
        self.show(answer.json()["items"][0]["title"], answer, 200)
        answer = self.client.call("GET", "/tasks?priority=urgent&sort=due_at&count=true")
        self.show(f"{answer.json()['total_count']} urgent, the next due first", answer, 200)
        answer = self.client.call("GET", "/tasks?limit=3")
        pages, cursor = 1, answer.json()["next_cursor"]
        while cursor:
            answer = self.client.call("GET", f"/tasks?limit=3&cursor={cursor}")
            pages, cursor = pages + 1, answer.json()["next_cursor"]
        self.say(f"    all of them in {pages} pages of 3")

    def change(self) -> None:
        self.show("Change, and change safely")
        headers = {"Idempotency-Key": secrets.token_hex(8)}
        first = self.client.call("POST", "/tasks", {"title": "Buy milk", "priority": "high"}, headers=headers)
        self.show(f"{first.json()['key']}, ETag {first.headers['ETag']}", first, 201)
        again = self.client.call("POST", "/tasks", {"title": "Buy milk", "priority": "high"}, headers=headers)
        self.show("the same request again: the same task, no second one", again, 201)
        self.check("one task for one key", holds=first.json()["id"] == again.json()["id"])
        path = f"/tasks/{first.json()['id']}"
        answer = self.client.call("PATCH", path, {"title": "Buy oat milk"}, headers={"If-Match": '"1"'})
        self.show(f"only the title changed; ETag {answer.headers['ETag']}", answer, 200)
        self.check("the priority is still there", holds=answer.json()["priority"] == "high")
        answer = self.client.call("PATCH", path, {"title": "Buy soy milk"}, headers={"If-Match": '"1"'})
        self.show("somebody who had read the old one is told so", answer, 412)
        self.show("into the trash", self.client.call("DELETE", path), 204)
        self.show("gone", self.client.call("GET", path), 404)
        self.show("and back", self.client.call("POST", f"{path}/restore"), 200)

    def take_away(self) -> None:
        self.show("Take everything away again")
        export = self.client.call("GET", "/tasks/export?format=json")
        self.show(f"{len(export.content)} bytes", export, 200)
        job = self.run_import("export.json", export.content)
        counts = job["result"]
        self.say(f"    our own export comes back: {counts['tasks']} tasks, {len(counts['errors'])} errors")

    def run(self) -> None:
        self.sign_in()
        self.bring_lists()
        self.find()
        self.change()
        self.take_away()
        self.show("That was the tour.")


def main() -> None:
    base_url = sys.argv[1] if len(sys.argv) > 1 else f"http://127.0.0.1:{os.environ.get('PORT', '8000')}"
    Tour(base_url).run()


if __name__ == "__main__":
    main()
