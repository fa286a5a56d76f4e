"""What Alembic runs: a migration on the connection, and in the transaction, of `losssearch.storage.versions`."""

from alembic import context

from losssearch.storage import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    version_table=schema.revision.name,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
