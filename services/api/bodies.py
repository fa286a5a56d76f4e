"""What requests carry: names, identifiers, bodies."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from losssearch.request.remote import LIMITS, remote_schema
from services.access.passwords import LONGEST, SHORTEST
from services.access.people import NAME
from services.access.principal import Role, Scope
from services.access.tokens import LONGEST_LIFE
from services.reading.cursor import FORM, MOST

_ID = r"^[0-9a-f]{32}$"

Identifier = Annotated[str, Path(pattern=_ID, description="An identifier.", examples=["0" * 32])]
Title = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""What people call a thing: any printable text."""

AccountName = Annotated[str, StringConstraints(pattern=NAME)]
Reference = Annotated[str, StringConstraints(pattern=_ID)]
Password = Annotated[str, StringConstraints(min_length=SHORTEST, max_length=LONGEST, pattern=r"^[^\x00]+$")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="How many.")]
Cursor = Annotated[
    str | None,
    Query(max_length=200, json_schema_extra={"pattern": FORM}, description="`next` of the page before."),
]
WHOLE = (1 << 53) - 1

JSON = "application/json"


def _number(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise ValueError("Input should be a number")  # noqa: TRY004  (Pydantic takes no TypeError)
    return value


STRICT = BeforeValidator(_number)
"""A number as JSON has it: neither a text nor a truth value, which Pydantic would take for one."""


class Body(BaseModel):
    """A body takes no member that it does not know."""

    model_config = ConfigDict(extra="forbid")


class LogIn(Body):
    """A user's name and password."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]
    password: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST, pattern=r"^[^\x00]+$")]


class NewDataset(Body):
    """A dataset, whose content is sent afterwards."""

    name: Title


def _options() -> dict[str, Any]:
    return {key: value for key, value in remote_schema().items() if key != "$schema"}


class NewSearch(Body):
    """A search: on which dataset, under which name, with which options."""

    dataset: Reference = Field(description="The id of a dataset of the team.")
    name: Title
    request: Annotated[dict[str, Any], WithJsonSchema(_options())] = Field(
        description="Options by their names in Python."
    )


class Resume(Body):
    """How a search continues: with more trials or seconds than it was asked for, or as it was."""

    trials: Annotated[int, Field(ge=2, le=LIMITS.trials), STRICT] | None = None
    time_budget: Annotated[float, Field(gt=0, le=LIMITS.time_budget), STRICT] | None = None


class NewToken(Body):
    """A token: what it is for, what it may do, and for how long."""

    name: Title
    scope: Scope = "write"
    seconds: Annotated[float, Field(gt=0, le=LONGEST_LIFE), STRICT] | None = Field(
        None, description="None: until it is revoked."
    )


class SpaceText(Body):
    """The YAML text of a search space."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=LIMITS.space_bytes)]


class SampleOf(Body):
    """Which space to draw losses from, by name or as text, and how many."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    text: Annotated[str, StringConstraints(min_length=1, max_length=LIMITS.space_bytes)] | None = None
    count: Annotated[int, Field(ge=1, le=50), STRICT] = 10
    seed: Annotated[int, Field(ge=0, le=WHOLE), STRICT] = 0


class TeamChange(Body):
    """Quotas of a team, those that change."""

    max_running: Annotated[int, Field(ge=0, le=10_000), STRICT] | None = None
    max_queued: Annotated[int, Field(ge=0, le=1_000_000), STRICT] | None = None
    max_trials: Annotated[int, Field(ge=2, le=LIMITS.trials), STRICT] | None = None
    max_seconds: Annotated[float, Field(gt=0, le=LIMITS.time_budget), STRICT] | None = None
    max_bytes: Annotated[int, Field(ge=0, le=WHOLE), STRICT] | None = None
    max_datasets: Annotated[int, Field(ge=0, le=1_000_000), STRICT] | None = None
    max_tokens: Annotated[int, Field(ge=0, le=1_000_000), STRICT] | None = None


class NewTeam(TeamChange):
    """A team and its quotas."""

    name: AccountName


class NewUser(Body):
    """A user of a team."""

    name: AccountName
    team_id: Reference
    role: Role = "member"
    password: Password


class UserChange(Body):
    """What changes of a user, who is then logged out."""

    role: Role | None = None
    disabled: bool | None = None
    team_id: Reference | None = None
    password: Password | None = None
    revoke_tokens: Annotated[bool, Field(description="Whether all tokens of the user end too.")] | None = None


class OwnPassword(Body):
    """A new password of who asks, and the present one."""

    current: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST, pattern=r"^[^\x00]+$")] | None = Field(
        None, description="May be left out after a login link, or where there is none."
    )
    password: Password
    revoke_tokens: bool = Field(False, description="Whether all tokens but the one that asks end too.")


State = Literal["queued", "running", "cancelling", "done", "unmet", "cancelled", "failed"]
