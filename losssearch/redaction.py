"""Secrets leave no text: the one place that takes them out of URLs, connection strings, headers and messages.

Whatever is stored, tracked, logged or shown passes through `redact` (a text) or `redacted` (JSON). Secrets are found by
form, as in ``scheme://user:PASSWORD@host/?token=…#…`` or ``password=…``, and by value, once `remember` was told a URL
that the user gave, or `guarded` has read the environment.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import traceback
import urllib.parse
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

HIDDEN = "***"

SHOWN = frozenset(
    (
        *("application_name", "cache", "charset", "check_same_thread", "client_encoding", "connect_timeout", "mode"),
        *("sslmode", "target_session_attrs", "timeout", "uri", "workflowtype"),
    )
)
"""Keys of a query whose values are no secrets; all others are hidden."""

_DATABASES = ("postgres", "mysql", "mariadb", "mssql", "oracle", "cockroachdb")
"""Schemes whose user is the name of a role. In any other URL the user may be a token."""

_NAME_OF_ONE = r"[\w.-]*(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|signature|credential)s?"

# A further URL may follow without a space; of an unknown scheme it may as well be a password that holds "://".
_KNOWN = r"(?:https?|s?ftp|file|sqlite|postgres\w*|mysql|mariadb|mssql|oracle|cockroachdb|databricks|s3|gs|redis)[\w+.\-]*://"
_URL = re.compile(rf"\b[A-Za-z][A-Za-z0-9+.\-]*://(?:(?!{_KNOWN})\S)*")
_TAIL = re.compile(r"""[)\]}>.,;:!'"`]+$""")
_PATH_QUERY = re.compile(r"(?<![:/\w])((?:\w+:)?/(?!/)[^\s?#'\"]*)\?([^\s'\"()]*=[^\s'\"()]*)")
_BARE_USER = re.compile(r"(?<![\w/.*@%+-])[\w.%+-]+:[^\s/@:,;(){}'\"]+@(?=[\w\[])")
_SLASHED_USER = re.compile(r"(?<![:/\w.*-])(//|[A-Za-z][\w+.-]*:/)(?!/)[^\s/@]+@(?=[\w\[])")
"""A URL whose scheme was left out, or of which a path has taken a slash."""
_QUOTED = re.compile(rf"""(?i)((["']){_NAME_OF_ONE}\2\s*:\s*)("[^"]*"|'[^']*'|[^\s,}}]+)""")
_PAIR = re.compile(rf"""(?i)(?<![\w.-])({_NAME_OF_ONE}\s?=\s?)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;&)\]}}"']+)""")
_HEADER = re.compile(r"(?i)(\bauthorization['\"]?\s*[:=]\s*['\"]?)(?:[A-Za-z]+ +)?[^\s'\",]+")
_SCHEME = re.compile(r"(?i)\b(bearer|basic) +(?=[^\s'\"]*[\d=_-])[A-Za-z0-9+/=_.~-]{8,}")
_MAY_HOLD = re.compile(
    r"(?i)://|@|\?|passw|passphrase|pwd|secret|token|api.?key|access.?key|signature|credential|authorization|bearer|basic"
)
_ENVIRONMENT = re.compile(
    r"(?:PASSWORD|PASSWD|PASSPHRASE|TOKEN|SECRET|CREDENTIALS?|(?:^|_)(?:PASS|PWD?)"
    r"|(?:ACCESS|API|SECRET|PRIVATE|SESSION|SIGNING|ENCRYPTION|MASTER|ACCOUNT|AUTH)_KEY)$"
)
_WITH_USER = re.compile(r"[A-Za-z][\w+.-]*://[^\s@]+@\S+")
_NO_SECRETS = frozenset({"PWD", "OLDPWD"})

_FEWEST = 6
"""Characters of a secret that is found by its value: a shorter one would be found in the middle of anything."""

_lock = threading.Lock()
_urls: dict[str, str] = {}
_values: set[str] = set()
_by_value: re.Pattern[str] | None = None


def redact(text: str) -> str:
    """``text`` without secrets; what holds none is returned as it is. To redact twice is to redact once."""
    if _by_value is not None:
        for url, shown in tuple(_urls.items()):
            text = text.replace(url, shown)
        text = _by_value.sub(HIDDEN, text)
    if _MAY_HOLD.search(text) is None:
        return text
    text = _URL.sub(_shown_url, text)
    text = _PATH_QUERY.sub(lambda found: f"{found[1]}?{_shown_query(found[2])}", text)
    text = _BARE_USER.sub(f"{HIDDEN}@", text)
    text = _SLASHED_USER.sub(rf"\1{HIDDEN}@", text)
    text = _QUOTED.sub(lambda found: f"{found[1]}{found[2]}{HIDDEN}{found[2]}", text)
    text = _PAIR.sub(rf"\1{HIDDEN}", text)
    text = _HEADER.sub(rf"\1{HIDDEN}", text)
    return _SCHEME.sub(rf"\1 {HIDDEN}", text)


def redacted(value: Any) -> Any:
    """JSON, or any nest of mappings, lists and tuples, with each text redacted; keys stay."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [redacted(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value


def remember(url: str | None) -> None:
    """Hide ``url`` and its secrets by value too from here on, however a library takes them apart."""
    if not url or "://" not in url:
        return
    shown = redact_url(url)
    scheme, _, rest = url.partition("://")
    authority, _, _ = rest.rpartition("@") if not rest.startswith("/") else ("", "", rest)
    user, _, password = authority.partition(":")
    # A driver may split a password that holds such characters unescaped.
    secrets = [password, *re.split(r"[@/?#:]", password)]
    secrets += () if scheme.startswith(_DATABASES) and password else (user,)
    query = rest.partition("?")[2].partition("#")[0]
    secrets += [
        value for key, value in urllib.parse.parse_qsl(query, keep_blank_values=True) if key.lower() not in SHOWN
    ]
    with _lock:
        if shown != url:
            _urls[url] = shown
        _learn([*secrets, *map(urllib.parse.unquote, secrets)], {user, *re.split(r"\W+", shown)})


def learn(secret: str) -> None:
    """Hide ``secret`` by value from here on."""
    with _lock:
        _learn([secret], set())


def redact_url(url: str) -> str:
    """A URL, all of it, without userinfo, the query's values and the fragment."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return redact(url)
    where, fragment, _ = rest.partition("#")
    where, question, query = where.partition("?")
    if not rest.startswith("/") and _holds_user(rest):
        # A password may hold any character unescaped, so that what looks like a path or a query is part of it.
        userinfo, _, where = rest.rpartition("@")
        where, fragment, _ = where.partition("#")
        where, question, query = where.partition("?")
        user, _, password = userinfo.partition(":")
        role = scheme.startswith(_DATABASES) and password and re.fullmatch(r"[\w.%+-]+", user)
        where = f"{f'{user}:' if role else ''}{HIDDEN}@{where}"
    query = f"?{_shown_query(query)}" if question and query else question
    return f"{scheme}://{where}{query}{f'#{HIDDEN}' if fragment else ''}"


def redacted_cause(error: BaseException) -> Exception:
    """What to raise an error ``from`` in place of another library's, whose text and attributes may hold a URL."""
    text = redact(" ".join(str(error).split()))
    return RuntimeError(f"{type(error).__name__}: {text}").with_traceback(error.__traceback__)


@contextmanager
def guarded() -> Iterator[None]:
    """Redact what libraries log and warn of meanwhile, and know the secrets of the environment by value."""
    for value in os.environ.values():
        if _WITH_USER.fullmatch(value):
            remember(value)
    with _lock:
        secret = [name for name in os.environ if _ENVIRONMENT.search(name.upper()) and name not in _NO_SECRETS]
        _learn([os.environ[name] for name in secret], set())
    make, form = logging.getLogRecordFactory(), warnings.formatwarning

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made = make(*args, **kwargs)
        try:
            message = made.getMessage()
        except Exception:  # noqa: BLE001  (a broken call of a logger is reported by `logging` itself)
            return made
        if (shown := redact(message)) != message:
            made.msg, made.args = shown, ()
        if made.exc_info and made.exc_info[1] is not None:
            made.exc_text = redact("".join(traceback.format_exception(made.exc_info[1])).rstrip("\n"))
        return made

    def formatted(*args: Any, **kwargs: Any) -> str:
        return redact(form(*args, **kwargs))

    logging.setLogRecordFactory(record)
    warnings.formatwarning = formatted
    try:
        yield
    finally:
        logging.setLogRecordFactory(make)
        warnings.formatwarning = form


def _shown_url(found: re.Match[str]) -> str:
    url = found[0]
    tail = _TAIL.search(url)
    # Quotes and brackets that only end the URL belong to the sentence.
    end = tail.start() if tail else len(url)
    return redact_url(url[:end]) + url[end:]


def _holds_user(rest: str) -> bool:
    # Before a colon may stand a host, or a user whose password holds a slash: better hide too much than too little.
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return "@" in authority or ("@" in rest and ":" in authority)


def _shown_query(query: str) -> str:
    query, mark, _ = query.partition("#")
    parts = []
    for part in re.split(r"[&;]", query):
        key, equals, value = part.partition("=")
        known = key.lower() in SHOWN and re.fullmatch(r"[\w.*-]*", value)
        parts.append(part if known else f"{key}={HIDDEN}" if equals else HIDDEN)
    return "&".join(parts) + (f"#{HIDDEN}" if mark else "")


def _learn(secrets: list[str], plain: set[str]) -> None:
    """Take up values that can be told from ordinary words, in any of the forms in which a URL may hold them."""
    global _by_value  # noqa: PLW0603  (what is secret is so for the whole process)
    for secret in secrets:
        if len(secret) >= _FEWEST and secret not in plain and not (secret.isalpha() and secret.islower()):
            _values.update((secret, urllib.parse.quote(secret), urllib.parse.quote_plus(secret)))
    if _values:
        longest = sorted(_values, key=len, reverse=True)
        _by_value = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)")
