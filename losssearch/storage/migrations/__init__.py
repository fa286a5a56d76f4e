"""The migrations of a store, run by Alembic; one file per version of the tables."""
