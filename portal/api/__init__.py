"""The doors for machines, under /api/v1."""

from flask import Flask

from portal.api.webhooks import bp as webhooks


def register(app: Flask) -> None:
    """Put the machine doors into the application."""
    app.register_blueprint(webhooks, url_prefix="/api/v1")
