"""The application with its pages and its doors, wired top to bottom; there is no logic here."""

from flask import Flask

from portal import api, web
from portal.config import Config
from portal.core import create_core


def create_app(config: Config | None = None) -> Flask:
    """Build the application from its settings; from the environment when none are given."""
    app = create_core(config)
    web.register(app)
    api.register(app)
    return app
