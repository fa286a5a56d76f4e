"""What Alembic runs for each migration: it is given a connection, and told nothing of any URL."""

from alembic import context

from services.migrations import VERSION_TABLE
from services.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,  # SQLite has it too, as our connections begin their transactions themselves
    render_as_batch=True,
)
context.run_migrations()
