"""The tables of the service. Identifiers are 32 hexadecimal digits, times are UTC seconds by the server's clock.

The migrations in `services.migrations` make them; a test compares both.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata = MetaData()

QUEUED: Final = "queued"
RUNNING: Final = "running"
CANCELLING: Final = "cancelling"
DONE: Final = "done"
UNMET: Final = "unmet"
CANCELLED: Final = "cancelled"
FAILED: Final = "failed"

TERMINAL: Final = frozenset((DONE, UNMET, CANCELLED, FAILED))
"""States of a search that nothing but a resume leaves."""

ACTIVE: Final = (RUNNING, CANCELLING)
"""States of a search that a worker holds."""

_BIG = BigInteger().with_variant(Integer, "sqlite")


def _id() -> Column[Any]:
    return Column("id", String(32), primary_key=True)


def _number() -> Column[Any]:
    return Column("id", _BIG, primary_key=True, autoincrement=True)


def _json(name: str, *, nullable: bool = True) -> Column[Any]:
    return Column(name, JSON(none_as_null=True), nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Double, nullable=nullable)


def _of(name: str, target: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, ForeignKey(target, ondelete="CASCADE"), nullable=nullable)


team = Table(
    "ls_team",
    metadata,
    _id(),
    Column("name", String(100), nullable=False, unique=True),
    Column("max_running", Integer, nullable=False),
    Column("max_queued", Integer, nullable=False),
    Column("max_trials", Integer, nullable=False),
    Column("max_seconds", Double, nullable=False),
    Column("max_bytes", BigInteger, nullable=False),
    Column("max_datasets", Integer, nullable=False, server_default="1000"),
    Column("max_tokens", Integer, nullable=False, server_default="100"),
    _time("created"),
)
user = Table(
    "ls_user",
    metadata,
    _id(),
    Column("name", String(100), nullable=False, unique=True),
    Column("password", Text),
    _of("team_id", "ls_team.id"),
    Column("role", String(16), nullable=False),
    Column("disabled", Boolean, nullable=False, default=False),
    _time("created"),
)
token = Table(
    "ls_token",
    metadata,
    _id(),
    _of("user_id", "ls_user.id"),
    Column("name", String(100), nullable=False),
    Column("prefix", String(32), nullable=False, unique=True),
    Column("digest", String(64), nullable=False),
    Column("scope", String(16), nullable=False),
    _time("expires", nullable=True),
    _time("revoked", nullable=True),
    _time("last_used", nullable=True),
    _time("created"),
)
session = Table(
    "ls_session",
    metadata,
    Column("digest", String(64), primary_key=True),
    _of("user_id", "ls_user.id"),
    Column("csrf", String(64), nullable=False),
    Column("linked", Boolean, nullable=False, server_default=false()),
    _time("expires"),
    _time("created"),
)
failure = Table(
    "ls_failure",
    metadata,
    _number(),
    Column("key", String(200), nullable=False),
    _time("at"),
    Index("ls_failure_key_at", "key", "at"),
)
known = Table(
    "ls_known",
    metadata,
    Column("user_id", ForeignKey("ls_user.id", ondelete="CASCADE"), primary_key=True),
    Column("mark", String(100), primary_key=True),
    _time("seen"),
)
dataset = Table(
    "ls_dataset",
    metadata,
    _id(),
    _of("team_id", "ls_team.id"),
    _of("owner_id", "ls_user.id"),
    Column("name", String(200), nullable=False),
    Column("state", String(16), nullable=False),
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("digest", String(64)),
    Column("rows", BigInteger),
    Column("columns", Integer),
    _json("schema"),
    Column("problem", Text),
    _time("created"),
    Index("ls_dataset_team_created", "team_id", "created"),
)
search = Table(
    "ls_search",
    metadata,
    _id(),
    _of("team_id", "ls_team.id"),
    _of("owner_id", "ls_user.id"),
    # No cascade: a dataset that a search needs stays.
    Column("dataset_id", ForeignKey("ls_dataset.id"), nullable=False),
    Column("name", String(200), nullable=False),
    _json("request", nullable=False),
    Column("state", String(16), nullable=False),
    _time("created"),
    _time("updated"),
    # The queue.
    _time("not_before"),
    Column("attempt", Integer, nullable=False, default=0),
    Column("holder", String(32)),
    _time("lease_until", nullable=True),
    Column("tries", Integer, nullable=False, default=0),
    Column("lost", Integer, nullable=False, default=0),
    Column("cancel", Boolean, nullable=False, default=False),
    _time("started", nullable=True),
    _time("ended", nullable=True),
    Column("exit_code", Integer),
    Column("message", Text, nullable=False, default=""),
    # For lists.
    Column("stage", String(100), nullable=False, default=""),
    Column("done", Integer, nullable=False, default=0),
    Column("total", Integer, nullable=False, default=0),
    Column("best", Double),
    _json("summary"),
    Column("mlflow_run", String(64)),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    Column("revision", Integer, nullable=False, default=1),
    Column("idempotency_key", String(200)),
    Column("idempotency_digest", String(64)),
    UniqueConstraint("owner_id", "idempotency_key", name="ls_search_idempotency"),
    Index("ls_search_state_not_before", "state", "not_before"),
    Index("ls_search_team_created", "team_id", "created"),
)
sync = Table(
    "ls_sync",  # searches of which MLflow misses something
    metadata,
    Column("search_id", ForeignKey("ls_search.id", ondelete="CASCADE"), primary_key=True),
    _time("since"),
    _time("due", nullable=True),  # when it is told again; null: nobody tries any more
    Column("tries", Integer, nullable=False, default=0),
    Column("problem", Text, nullable=False, default=""),
    Column("attempt", Integer, nullable=False, default=0),
    Column("holder", String(32)),
    _time("lease_until", nullable=True),
    Index("ls_sync_due", "due"),
)
event = Table(
    "ls_event",
    metadata,
    _number(),
    _of("search_id", "ls_search.id"),
    Column("kind", String(32), nullable=False),
    Column("trial", Integer, nullable=False, default=-1),
    Column("key", String(64), nullable=False, default=""),
    _time("at"),
    _json("data", nullable=False),
    UniqueConstraint("search_id", "kind", "trial", "key", name="ls_event_once"),
    Index("ls_event_search_id", "search_id", "id"),
    Index("ls_event_at", "at"),
    sqlite_autoincrement=True,  # a number is never used again: clients ask for what came after it
)
worker = Table(
    "ls_worker",
    metadata,
    _id(),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("version", String(64), nullable=False),
    _time("started"),
    _time("seen"),
)
discarded = Table(
    "ls_discarded",
    metadata,
    # No foreign keys: the search is deleted, and its runs in MLflow are still to be.
    Column("search_id", String(32), primary_key=True),
    Column("experiment", String(200), nullable=False),
    _time("not_before"),
    Column("tries", Integer, nullable=False, default=0),
    _time("created"),
)
audit = Table(
    "ls_audit",
    metadata,
    _number(),
    _time("at"),
    # No foreign keys: what was done stays on record after whoever did it.
    Column("user_id", String(32)),
    Column("team_id", String(32)),
    Column("action", String(64), nullable=False),
    Column("object", String(200), nullable=False),
    _json("detail", nullable=False),
    Index("ls_audit_at", "at"),
)
