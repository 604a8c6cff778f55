"""Alembic's way in: runs the migrations on the connection, and in the transaction, that the store brings."""

from alembic import context

from newsletter.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
