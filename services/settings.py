"""What the service is told by its environment: addresses, folders, limits and secrets."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from losssearch.errors import OptionError
from losssearch.redaction import learn, redact_url, remember

T = TypeVar("T")

PREFIX = "LOSSSEARCH_"

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?)I?B?", re.IGNORECASE)
_DATABASES = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of the service. ``repr`` shows no secret.

    Example:
        >>> Settings(database_url="sqlite:////data/service.db", data=Path("/data")).storage
        'sqlite:////data/studies.db'
    """

    database_url: str = field(repr=False)
    """Of the service's own tables: ``sqlite:///FILE`` or ``postgresql+psycopg://USER:PASSWORD@HOST/DATABASE``."""
    data: Path
    """The folder of datasets and searches."""
    storage_url: str | None = field(default=None, repr=False)
    """Of the studies, where they are not in the service's database; see `storage`."""
    tracking_uri: str | None = field(default=None, repr=False)
    """Of the MLflow server; None for no tracking."""
    tracking_username: str | None = None
    tracking_password: str | None = field(default=None, repr=False)
    ray_address: str | None = None
    """Of the Ray cluster that trains; None trains in the child itself."""
    slots: int = 1
    """How many studies one worker runs at once."""
    hosts: tuple[str, ...] = LOOPBACK
    """Values of the ``Host`` header that are answered."""
    proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies, which say where a request comes from; ``*`` for whoever connects."""
    child_memory: int | None = None
    """Bytes that the process of one study may take."""
    child_cpus: int = 1
    """Threads that the process of one study computes with."""
    max_upload: int = 2 << 30
    """Bytes of one upload."""
    public_url: str = "http://127.0.0.1:8080"
    """Where a browser finds the service."""
    open_metrics: bool = False
    """Whether ``/metrics`` answers without a token, as where only a Prometheus server reaches it."""
    audit_days: int = 365
    """Days for which the audit log is kept."""
    dev: bool = False
    """Whether it runs for one person on this machine, over http."""

    @property
    def storage(self) -> str:
        """The URL of the studies: ``storage_url``, else the service's PostgreSQL, else a file next to the data."""
        if self.storage_url is not None:
            return self.storage_url
        if self.database_url.startswith("sqlite"):
            return f"sqlite:///{self.data.resolve() / 'studies.db'}"
        return self.database_url

    @property
    def datasets(self) -> Path:
        """The folder of converted datasets, ``<id>.parquet``."""
        return self.data / "datasets"

    @property
    def incoming(self) -> Path:
        """The folder of what is being received, ``<id>.part``."""
        return self.datasets / "incoming"

    @property
    def searches(self) -> Path:
        """The folder of searches, one folder each, by its id."""
        return self.data / "searches"

    @property
    def secure(self) -> bool:
        """Whether browsers come over https."""
        return self.public_url.startswith("https://")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """The settings that the environment names, each as ``LOSSSEARCH_NAME`` or in the file ``LOSSSEARCH_NAME_FILE``.

        Args:
            environment: names and values; those of this process if left out.

        Raises:
            OptionError: a setting is missing, given twice, or not what it must be.
        """
        given = _Given(os.environ if environment is None else environment)
        data = Path(given.text("DATA_DIR") or "losssearch-service")
        url = given.url("DATABASE_URL") or f"sqlite:///{data.resolve() / 'service.db'}"
        password = given.text("TRACKING_PASSWORD")
        if password is not None:
            learn(password)
        tracking = given.text("TRACKING_URI")
        remember(tracking)
        public = (given.text("PUBLIC_URL") or cls.public_url).rstrip("/")
        if not re.fullmatch(r"https?://[\w.\-:\[\]]+(/[\w./\-]*)?", public):
            raise OptionError(f"{PREFIX}PUBLIC_URL must be http://HOST or https://HOST, got {redact_url(public)}")
        return cls(
            database_url=url,
            data=data,
            storage_url=given.url("STORAGE_URL"),
            tracking_uri=tracking,
            tracking_username=given.text("TRACKING_USERNAME"),
            tracking_password=password,
            ray_address=given.text("RAY_ADDRESS"),
            slots=given.read("SLOTS", _whole(1, 1024), cls.slots),
            hosts=given.read("HOSTS", _names, LOOPBACK),
            proxies=given.read("PROXIES", _addresses, cls.proxies),
            child_memory=given.read("CHILD_MEMORY", read_size, None),
            child_cpus=given.read("CHILD_CPUS", _whole(1, 1024), cls.child_cpus),
            max_upload=given.read("MAX_UPLOAD", read_size, cls.max_upload),
            public_url=public,
            open_metrics=given.read("OPEN_METRICS", _truth, cls.open_metrics),
            audit_days=given.read("AUDIT_DAYS", _whole(1, 36_500), cls.audit_days),
            dev=given.read("DEV", _truth, cls.dev),
        )


class _Given:
    """What an environment says, with a message that names the variable where it says nonsense."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str) -> str | None:
        """The value of a variable, or of the file that it names; None where neither is given, or empty."""
        plain, named = (self._environment.get(f"{PREFIX}{name}{end}") or None for end in ("", "_FILE"))
        if plain is not None and named is not None:
            raise OptionError(f"{PREFIX}{name} must be given once, got it and {PREFIX}{name}_FILE too")
        if named is None:
            return plain
        try:
            return Path(named).read_text(encoding="utf-8").rstrip("\r\n") or None
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(f"{PREFIX}{name}_FILE must name a file of text that can be read: {error}") from None

    def url(self, name: str) -> str | None:
        """The URL of a database."""
        value = self.text(name)
        if value is None:
            return None
        remember(value)
        rule = f"{PREFIX}{name} must be sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
        try:
            parsed = make_url(value)
        except (ArgumentError, ValueError):
            raise OptionError(f"{rule}, got something that is no URL") from None
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.drivername not in _DATABASES or parsed.database in (None, "", ":memory:"):
            raise OptionError(f"{rule}, got {redact_url(value)}")
        return parsed.render_as_string(hide_password=False)

    def read(self, name: str, parse: Callable[[str], T], default: T) -> T:
        value = self.text(name)
        if value is None:
            return default
        try:
            return parse(value)
        except ValueError as error:
            raise OptionError(f"{PREFIX}{name} must be {error}, got {value!r:.80}") from None


def read_size(text: str) -> int:
    """A number of bytes, such as ``4G``, ``512 MB`` or ``1000000``; a unit is a power of 1,024.

    Raises:
        ValueError: with the rule, if it is none.
    """
    found = _SIZE.fullmatch(text.strip())
    if not found or not float(found[1]):
        raise ValueError("a number of bytes such as 4G or 512M")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text.strip()) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return read


def _truth(text: str) -> bool:
    if text.strip() not in ("0", "1"):
        raise ValueError("0 or 1")
    return text.strip() == "1"


def _names(text: str) -> tuple[str, ...]:
    found = tuple(part for part in re.split(r"[,\s]+", text) if part)
    if not found or not all(re.fullmatch(r"[\w.\-:\[\]*]+", part) for part in found):
        raise ValueError("host names separated by commas")
    return found


def _addresses(text: str) -> tuple[str, ...]:
    found = tuple(part for part in re.split(r"[,\s]+", text) if part)
    if not found or not all(part == "*" or _is_network(part) for part in found):
        raise ValueError("addresses or networks such as 10.0.0.0/8, separated by commas, or *")
    return found


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
