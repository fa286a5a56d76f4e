"""Known addresses and browsers of users, MLflow runs to delete, quotas of datasets and tokens, bytes of searches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "ls_known",
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("mark", sa.String(length=100), nullable=False),
        sa.Column("seen", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["ls_user.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "mark"),
    )
    op.create_table(
        "ls_discarded",
        sa.Column("search_id", sa.String(length=32), nullable=False),
        sa.Column("experiment", sa.String(length=200), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("search_id"),
    )
    op.add_column("ls_team", sa.Column("max_datasets", sa.Integer(), nullable=False, server_default="1000"))
    op.add_column("ls_team", sa.Column("max_tokens", sa.Integer(), nullable=False, server_default="100"))
    op.add_column("ls_session", sa.Column("linked", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("ls_search", sa.Column("bytes", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("ls_search", "bytes")
    op.drop_column("ls_session", "linked")
    op.drop_column("ls_team", "max_tokens")
    op.drop_column("ls_team", "max_datasets")
    op.drop_table("ls_discarded")
    op.drop_table("ls_known")
