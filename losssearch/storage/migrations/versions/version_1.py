"""Version 1: studies, trials, stages and leases, which a program made without migrations."""

revision = "1"
down_revision = None


def upgrade() -> None:
    """Nothing: a database without tables is made as a whole, in its newest version."""


def downgrade() -> None:
    """Nothing lies below."""
