"""Alembic's door: runs the catalog's migrations on a connection it is handed."""

from alembic import context

from sync_pipelines.catalog.tables import SCHEMA, Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
    include_name=lambda name, kind, _parents: kind != "schema" or name == SCHEMA,
)
with context.begin_transaction():
    context.run_migrations()
