"""Version 2: the value of a trial as a column, so that SQL ranks; when it started and ended."""

import json
import math
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"

# As they are in this version, whatever they become later.
_TRIAL = sa.table(
    "losssearch_trial",
    sa.column("study", sa.Text),
    sa.column("number", sa.Integer),
    sa.column("body", sa.Text),
    sa.column("value", sa.Double),
)
_VERSION = sa.table("losssearch_schema", sa.column("version", sa.Integer))
_INDEX = "losssearch_trial_rank"
_ADDED = {"value": sa.Double, "started": sa.Text, "ended": sa.Text}


def upgrade() -> None:
    """Add the columns, and fill ``value`` from the bodies."""
    for name, kind in _ADDED.items():
        op.add_column("losssearch_trial", sa.Column(name, kind()))
    connection = op.get_bind()
    text = sa.cast(_TRIAL.c.body, sa.Text)
    keys = connection.execute(sa.select(_TRIAL.c.study).distinct()).scalars().all()
    target = (_TRIAL.c.study == sa.bindparam("in_study")) & (_TRIAL.c.number == sa.bindparam("of_number"))
    fill = sa.update(_TRIAL).where(target).values(value=sa.bindparam("found"))
    for study in keys:
        found = connection.execute(sa.select(_TRIAL.c.number, text).where(_TRIAL.c.study == study)).all()
        rows = [
            {"in_study": study, "of_number": number, "found": value}
            for number, body in found
            if (value := _value(body)) is not None
        ]
        if rows:
            connection.execute(fill, rows)
    op.create_index(_INDEX, "losssearch_trial", ["study", "state", "value"])
    connection.execute(sa.update(_VERSION).values(version=2))


def downgrade() -> None:
    """Drop what was added; the bodies have the values still."""
    op.drop_index(_INDEX, "losssearch_trial")
    for name in _ADDED:
        op.drop_column("losssearch_trial", name)
    op.get_bind().execute(sa.update(_VERSION).values(version=1))


def _value(body: Any) -> float | None:
    """The finite value in a trial's body; None in one that cannot be read, which its reader will say."""
    try:
        found = json.loads(body)["value"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else None
