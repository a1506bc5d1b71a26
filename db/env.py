"""Alembic's environment. The store hands over its connection, with a transaction and a lock that are already held;
`alembic revision --autogenerate` on the command line is not supported, on purpose: migrations are written by hand."""

from alembic import context

from schedsearch.store.migrations import VERSION_TABLE, model_metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=model_metadata(),
    version_table=VERSION_TABLE,
)
context.run_migrations()
