"""People with a browser that has no JavaScript: they load pages and send forms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any

import httpx

from tests.services.api.serving import PASSWORD, TABLE, Running


class Person:
    """Somebody who is logged in."""

    def __init__(self, running: Running, client: httpx.Client) -> None:
        self.running, self.client = running, client
        self.csrf = ""

    def look(self, address: str, status: int = 200) -> Page:
        """Load a page."""
        answer = self.client.get(address)
        assert answer.status_code == status, (address, answer.status_code, answer.text[-600:])
        return Page(answer)

    def send(self, address: str, status: int = 303, **fields: Any) -> httpx.Response:
        """Send a form with the CSRF token."""
        files = fields.pop("files", None)
        answer = self.client.post(address, data={"csrf": self.csrf, **fields}, files=files)
        assert answer.status_code == status, (address, answer.status_code, answer.text[-600:])
        return answer

    def upload(self, content: str = TABLE, name: str = "table") -> str:
        """Upload a table; the id of the dataset."""
        answer = self.send("/datasets", name=name, files={"file": ("table.csv", content.encode())})
        return answer.headers["Location"].partition("?")[0].rpartition("/")[2]

    def ask(self, dataset: str, **fields: Any) -> str:
        """Ask for a search; its id."""
        given = {"dataset": dataset, "target": "income", "metric": "f1", "trials": "4"} | fields
        return self.send("/searches", **given).headers["Location"].partition("?")[0].rpartition("/")[2]


@contextmanager
def logged_in(running: Running, name: str) -> Iterator[Person]:
    """Somebody by name."""
    headers = {"Accept": "text/html"}
    with httpx.Client(base_url=running.url, headers=headers, timeout=120) as client:
        answer = client.post("/login", data={"name": name, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        person = Person(running, client)
        person.csrf = person.look("/searches").fields("/logout")["csrf"]
        yield person


class Page(HTMLParser):
    """What a page holds: its tags with their attributes, its text, and the fields of its forms."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(convert_charrefs=True)
        self.answer, self.text, self._spaced = answer, "", ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._forms: dict[str, dict[str, str]] = {}
        self._form: dict[str, str] = {}
        self.feed(answer.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        found = dict(attrs)
        self.tags.append((tag, found))
        self._spaced += " "
        if tag == "form":
            self._form = self._forms.setdefault(found.get("action") or "", {})
        if tag in ("input", "button") and found.get("name"):
            self._form[found["name"] or ""] = found.get("value") or ""

    def handle_data(self, data: str) -> None:
        """See `HTMLParser`."""
        self.text += data
        self._spaced += data

    def fields(self, action: str) -> dict[str, str]:
        """The inputs of a form by their names."""
        return self._forms[action]

    def links(self, pattern: str) -> list[str]:
        """Addresses that fit."""
        return [
            address for tag, found in self.tags if tag == "a" and re.search(pattern, address := found.get("href") or "")
        ]

    @property
    def words(self) -> str:
        """The text with single spaces, one at each tag."""
        return " ".join(self._spaced.split())

    def require_harmless(self) -> None:
        """Nothing inline that a browser would run, nothing from elsewhere, and the policy that forbids both."""
        policy = self.answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for tag, found in self.tags:
            assert "style" not in found, (tag, found)
            assert not [name for name in found if name.startswith("on")], (tag, found)
            assert tag not in ("style", "object", "embed", "base", "hostile"), (tag, found)
            if tag == "script":
                assert (found.get("src") or "").startswith("/static/"), found
            if tag == "iframe":
                assert found.get("sandbox", "allowed") in ("", None), found
            for name in ("href", "src", "action", "formaction"):
                address = found.get(name)
                assert address is None or re.match(r"[/#]|http://127\.0\.0\.1", address), (tag, found)
