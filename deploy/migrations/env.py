"""Alembic's entry: `deploy.migrate` gives the connection, already the service's role in an open transaction, and the schema."""

from alembic import context

attributes = context.config.attributes
context.configure(connection=attributes["connection"], version_table_schema=attributes["schema"])
with context.begin_transaction():
    context.run_migrations()
