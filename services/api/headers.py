"""Headers of every answer, and problem documents in place of the plain text that the outermost layers answer with."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""Content security policy of answers that are no page."""

PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content security policy of our pages: no inline script or style, nothing from elsewhere."""

FRAMED = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"
"""Content security policy of a report, which holds users' column names: no script, and no origin of its own."""

_USUAL = {
    "Content-Security-Policy": NOTHING,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_PLAIN = {
    400: "the Host header must name this service: see LOSSSEARCH_HOSTS",
    413: "the content must be within the limits of GET /v1/limits, it has more",
}
"""What the outermost layers say in plain text."""


class Headers:
    """Adds the headers that an answer does not have yet; an ASGI application around another.

    Args:
        app: that application.
        refusal: makes the answer in place of one in plain text, from the request's scope, the status and the words.
    """

    def __init__(self, app: ASGIApp, refusal: Callable[[Scope, int, str], Response]) -> None:
        self._app, self._refusal = app, refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        instead: bytes | None = None

        async def sent(message: Message) -> None:
            nonlocal instead
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                if headers.get("content-type", "").startswith("text/plain") and message["status"] in _PLAIN:
                    made = self._refusal(scope, message["status"], _PLAIN[message["status"]])
                    instead = bytes(made.body)
                    headers.update(made.headers)
                for name, value in _USUAL.items():
                    headers.setdefault(name, value)
                await send({**message, "headers": headers.raw})
            elif instead is None:
                await send(message)
            elif not message.get("more_body"):
                await send({"type": "http.response.body", "body": instead})

        await self._app(scope, receive, sent)
