"""How Alembic reaches the database: by a connection or address that the caller hands over."""

from alembic import context
from sqlalchemy import Connection, create_engine

from portal.models import metadata


def run(connection: Connection) -> None:
    """Run the migrations asked for in one transaction."""
    context.configure(connection=connection, target_metadata=metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


connection = context.config.attributes.get("connection")
if connection is not None:
    run(connection)
else:
    url = context.get_x_argument(as_dictionary=True)["url"]
    with create_engine(url).connect() as opened:
        run(opened)
        opened.commit()
