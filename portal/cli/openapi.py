"""`portal openapi`: print the description of the API, for those who generate from it."""

from __future__ import annotations

import os

import click

from portal.config import Config

# The description is made of the code alone, so nobody needs to answer at these addresses.
NOBODY = {
    "database_url": "postgresql+psycopg://nobody@127.0.0.1:1/none",
    "redis_url": "redis://127.0.0.1:1/0",
    "secret_key": "x" * 32,
}


@click.command()
def openapi() -> None:
    """Print the description of the API as OpenAPI 3.1 in JSON."""
    from portal.api.description import write_description
    from portal.app import create_app

    with create_app(Config.from_environment(os.environ).changed(**NOBODY)).app_context():
        click.echo(write_description().decode())
