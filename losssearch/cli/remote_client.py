"""Talks to a service: requests with a token over verified TLS, events as they happen, and where the token is kept."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Self

from losssearch.errors import ConnectionLostError, DataError, InputError, OptionError
from losssearch.redaction import learn

LOOPBACK = r"http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"

_SILENCE = 60.0
"""Seconds without a byte, keep-alives included, after which a connection counts as lost."""

_CONVERSION = 900.0
"""Seconds that the service may take to convert a table."""

_AGAIN = (1.0, 2.0, 5.0, 10.0, 10.0, 10.0, 10.0, 10.0)
"""Seconds between tries to follow events again."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token elsewhere."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow none."""


@dataclass(frozen=True)
class Remote:
    """A service, by its address, and a token for it."""

    url: str
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        learn(self.token) if self.token else None
        if not re.fullmatch(rf"https://[^\s/@]+(/[\w./-]*)?|{LOOPBACK}(/[\w./-]*)?", self.url):
            raise OptionError(f"a service's address must be https://HOST, or http:// on this machine, got {self.url!r}")

    @classmethod
    def known(cls) -> Self:
        """The service of the environment, or of the last login.

        Raises:
            OptionError: there was no login.
        """
        url, token = (os.environ.get(f"LOSSSEARCH_REMOTE_{name}", "") for name in ("URL", "TOKEN"))
        if url and token:
            return cls(url.rstrip("/"), token)
        try:
            kept = json.loads(config_file().read_text(encoding="utf-8"))
            return cls(str(kept["url"]), str(kept["token"]))
        except FileNotFoundError:
            raise OptionError("a service must be known first: losssearch remote login URL") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OptionError(f"{config_file()} cannot be read ({error}): losssearch remote login URL") from None

    def keep(self) -> Path:
        """Write address and token to a file that its owner alone can read; return its path."""
        file = config_file()
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = file.with_suffix(f".{os.getpid()}")
            with os.fdopen(
                os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8"
            ) as opened:
                json.dump({"url": self.url, "token": self.token}, opened)
            fresh.replace(file)
        except OSError as error:
            raise OptionError(f"{file} must be writable to keep the token, it is not: {error.strerror}") from error
        return file

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request and return the JSON that comes back; None for an empty answer."""
        content = None if body is None else json.dumps(body).encode()
        sent = headers | ({} if content is None else {"Content-Type": "application/json"})
        with self._open(method, path, content, sent) as answer:
            found = answer.read()
        return json.loads(found) if found else None

    def token_by_password(self, user: str, password: str, name: str) -> str:
        """Log in, make a token called ``name``, and log out."""
        login = json.dumps({"name": user, "password": password}).encode()
        with self._open("POST", "/v1/session", login, {"Content-Type": "application/json"}) as answer:
            cookie = answer.headers.get("Set-Cookie", "").partition(";")[0]
            session = {"Cookie": cookie, "X-CSRF-Token": json.loads(answer.read())["csrf"]}
        made = self.ask("POST", "/v1/tokens", {"name": name, "scope": "write"}, **session)["token"]
        self.ask("DELETE", "/v1/session", **session)
        return str(made)

    def download(self, path: str) -> bytes:
        """The content of a file."""
        with self._open("GET", path, None, {}) as answer:
            return bytes(answer.read())

    def upload(self, path: str, file: Path) -> Any:
        """Send a file with its digest and return the JSON that comes back."""
        with file.open("rb") as opened:
            digest = base64.b64encode(hashlib.file_digest(opened, "sha256").digest()).decode()
            opened.seek(0)
            size = str(file.stat().st_size)
            headers = {"Content-Digest": f"sha-256=:{digest}:", "Content-Length": size}
            headers["Content-Type"] = "application/octet-stream"
            with self._open("PUT", path, opened, headers, _CONVERSION) as answer:
                return json.loads(answer.read())

    def events(self, search: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Events of a search by kind, until ``end``; the connection is made again where it is lost."""
        last, waits = "", iter(_AGAIN)
        while True:
            try:
                headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
                with self._open("GET", f"/v1/searches/{search}/events/stream", None, headers) as answer:
                    for kind, number, data in _messages(answer):
                        last, waits = number or last, iter(_AGAIN)
                        yield kind, data
                        if kind == "end":
                            return
            except (ConnectionLostError, OSError, HTTPException):
                wait = next(waits, None)
                if wait is None:
                    raise
                time.sleep(wait)

    def _open(
        self, method: str, path: str, content: Any, headers: dict[str, str], timeout: float = _SILENCE
    ) -> HTTPResponse:
        request = urllib.request.Request(f"{self.url}{path}", content, headers, method=method)  # noqa: S310  (checked)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            found: HTTPResponse = urllib.request.build_opener(_NoRedirects).open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(error, self.url) from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise ConnectionLostError(f"{self.url} must answer, it does not: {reason}") from None
        return found


def config_file() -> Path:
    """The file that keeps address and token: in the user's folder for configuration."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "losssearch" / "remote.json"


def _messages(answer: HTTPResponse) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Messages of an event stream: kind, number and data."""
    message: dict[str, str] = {}
    for raw in answer:
        line = raw.decode("utf-8").rstrip("\r\n")
        if line and not line.startswith(":"):
            name, _, value = line.partition(":")
            message[name] = value.removeprefix(" ")
        elif not line:
            if "data" in message:
                yield message.get("event", "message"), message.get("id", ""), json.loads(message["data"])
            message = {}


def _refused(error: urllib.error.HTTPError, url: str) -> InputError | ConnectionLostError:
    detail = f"{error.code} {error.reason}"
    with contextlib.suppress(ValueError, KeyError, OSError, TypeError):
        detail = str(json.loads(error.read(1 << 16))["detail"])
    if error.code >= 500:
        return ConnectionLostError(f"{url}: {detail}")
    return DataError(detail) if error.code == 404 else OptionError(f"{url}: {detail}")
