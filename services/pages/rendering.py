"""Templates: everything that comes from people or their data is escaped; nothing is inline that a browser would run."""

from __future__ import annotations

import hashlib
import time
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from losssearch import __version__
from services import schema
from services.access.principal import Principal
from services.api.headers import PAGE
from services.pages import words

_HERE = Path(__file__).resolve().parent

STATIC = {
    "app.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "htmx-sse.min.js": "text/javascript; charset=utf-8",
    "LICENSE.htmx": "text/plain; charset=utf-8",
}
"""Files that browsers load, and their types."""

NOTICES = {
    "created": "The search is in the queue.",
    "cancelled": "The search ends as soon as its worker has heard of it.",
    "resumed": "The search is in the queue again.",
    "deleted": "Deleted.",
    "uploaded": "The dataset is ready.",
    "revoked": "The token is no longer valid.",
    "saved": "Saved.",
    "password": "The password is changed, and your other sessions have ended.",
}
"""What a page says after a change, by the word in its address."""


@cache
def static_file(name: str) -> tuple[bytes, str]:
    """The content of one of `STATIC`, and a digest of it."""
    content = (_HERE / "static" / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]


@cache
def environment() -> Environment:
    """The templates, made once per process."""
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("duration", "number", "signed", "size", "better", "state"):
        made.filters[name] = getattr(words, name)
    made.filters["when"] = when
    made.filters["segment"] = lambda text: quote(str(text), safe="")
    made.globals.update(static=_address_of, version=__version__, query=_query, TERMINAL=schema.TERMINAL)
    return made


def when(at: float | None) -> Markup:
    """A time relative to now, with the exact one as its title."""
    if at is None:
        return escape("never")
    exact = words.instant(at)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, exact, words.ago(at, time.time()))


def render(template: str, **facts: Any) -> str:
    """A template as text."""
    return environment().get_template(template).render(**facts)


def page(request: Request, template: str, who: Principal | None, *, status: int = 200, **facts: Any) -> HTMLResponse:
    """A whole page, with the content security policy of pages.

    Args:
        request: what is answered: the menu marks where one is.
        template: its file.
        who: who asks; None before the login.
        status: of the answer.
        **facts: what the template shows.
    """
    said = NOTICES.get(request.query_params.get("said", ""))
    facts = {"problem": None, "notice": said, **facts}
    text = render(template, who=who, path=request.url.path, **facts)
    return HTMLResponse(text, status, {"Content-Security-Policy": PAGE})


def _address_of(name: str) -> str:
    return f"/static/{name}?v={static_file(name)[1]}"


def _query(**given: Any) -> str:
    """The query of an address, without what is None; a list gives its name once per entry."""
    pairs = [
        (name, str(one))
        for name, value in given.items()
        if value is not None
        for one in (value if isinstance(value, list | tuple) else [value])
    ]
    return "?" + urlencode(pairs) if pairs else ""
