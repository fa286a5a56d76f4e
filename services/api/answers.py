"""What answers carry."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from services.access.principal import Role, Scope
from services.api.bodies import State


class Reference(BaseModel):
    """Another object, by id and name."""

    id: str
    name: str


class Who(BaseModel):
    """Who asks."""

    user: str
    name: str
    team: str
    role: Role
    scope: Scope
    csrf: str = Field(description="What a change by this session must send along; empty for a token.")


class Dataset(BaseModel):
    """A dataset of the team."""

    id: str
    name: str
    state: Literal["empty", "receiving", "converting", "ready", "failed"]
    bytes: int
    digest: str | None = Field(description="SHA-256 of the content as it was sent.")
    rows: int | None
    columns: int | None
    problem: str | None = Field(description="Why the content cannot be used.")
    created: float
    owner: Reference


class ColumnValue(BaseModel):
    """A value of a column and how often it was seen."""

    value: str
    count: int


class ColumnPreview(BaseModel):
    """A column as losssearch reads it."""

    name: str
    kind: Literal["numeric", "categorical", "boolean", "date", "ignored"]
    missing: int
    distinct: int
    examples: list[str]
    values: list[ColumnValue] = Field(description="All values, where there are few.")


class Preview(BaseModel):
    """What was inferred of a dataset from a sample of its rows."""

    rows_seen: int
    columns: list[ColumnPreview]
    notes: list[str]


class Tracking(BaseModel):
    """Whether MLflow has all of a search; if not, a worker tells it again."""

    complete: bool
    problem: str = Field(description="Why it misses something.")
    tries: int = Field(description="How often it has been told again in vain.")
    next: float | None = Field(description="When it is told again; null where nobody tries any more.")


class Search(BaseModel):
    """A search: its state and progress, what was asked, and, once it has ended, what came out."""

    id: str
    name: str
    state: State
    created: float
    updated: float
    started: float | None
    ended: float | None
    stage: str
    done: int
    total: int
    best: float | None
    message: str
    exit_code: int | None
    mlflow_run: str | None
    revision: int
    owner: Reference
    dataset: Reference
    request: dict[str, Any]
    summary: dict[str, Any] | None
    tracking: Tracking | None = Field(description="Null before the end, and where nothing is tracked.")


class Event(BaseModel):
    """Something that happened in a search."""

    id: int
    kind: str
    trial: int | None
    at: float
    data: dict[str, Any]


class Datasets(BaseModel):
    """A page of datasets."""

    items: list[Dataset]
    next: str | None


class Searches(BaseModel):
    """A page of searches."""

    items: list[Search]
    next: str | None


class Events(BaseModel):
    """Events after a number, in their order; `next` is the number to ask after."""

    items: list[Event]
    next: int


class Token(BaseModel):
    """A token without its secret."""

    id: str
    name: str
    prefix: str
    scope: Scope
    expires: float | None
    revoked: float | None
    last_used: float | None
    created: float


class IssuedToken(BaseModel):
    """A new token, whose text is shown this once."""

    id: str
    token: str


class User(BaseModel):
    """A user."""

    id: str
    name: str
    team_id: str
    role: Role
    disabled: bool
    created: float


class Team(BaseModel):
    """A team and its quotas."""

    id: str
    name: str
    max_running: int
    max_queued: int
    max_trials: int
    max_seconds: float
    max_bytes: int
    max_datasets: int
    max_tokens: int
    created: float


class Worker(BaseModel):
    """A worker and when it was last seen."""

    id: str
    host: str
    pid: int
    slots: int
    version: str
    started: float
    seen: float


class AuditEntry(BaseModel):
    """Who changed what."""

    id: int
    at: float
    user_id: str | None
    user_name: str | None
    team_id: str | None
    action: str
    object: str
    detail: dict[str, Any]


class Audit(BaseModel):
    """A page of the audit log; `next` is to be given as `before`."""

    items: list[AuditEntry]
    next: int | None


class Limits(BaseModel):
    """What an upload may hold, and what the team may have."""

    upload_bytes: int
    formats: list[str]
    rows: int
    columns: int
    cell_bytes: int
    unpacked_bytes: int
    team: Team
    request: dict[str, Any] = Field(description="The JSON Schema of a search's options for this team.")


class Identified(BaseModel):
    """The id of what was made."""

    id: str


class Health(BaseModel):
    """Whether the process answers, or is ready, and what of it is not."""

    ok: bool
    problems: list[str] = []


class SpaceCheck(BaseModel):
    """The rules that a space breaks."""

    ok: bool
    problems: list[str]


class Sampled(BaseModel):
    """A loss drawn from a space."""

    formula: str
    spec: dict[str, Any]


class Trial(BaseModel):
    """One candidate loss that was tried."""

    number: int
    state: str
    value: float | None
    formula: str
    name: str = Field(description="That of a baseline, or `searched-NUMBER`.")
    seconds: float | None


class Trials(BaseModel):
    """Trials, and how many of the search are in each state; `next` is to be given as `after`."""

    items: list[Trial]
    counts: dict[str, int]
    next: int | None


class Verdict(BaseModel):
    """What a search says in the end, as in `result.json`."""

    verdict: dict[str, Any]
    formula: str
    metric: dict[str, Any]
    best: dict[str, Any]
    constraints: list[Any]
    ablation: list[Any]
