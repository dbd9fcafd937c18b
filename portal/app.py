"""The application, wired top to bottom; there is no logic here."""

import os

from flask import Flask

from portal import api, web
from portal.config import Config
from portal.db import bind_database
from portal.log import configure_log
from portal.paths import STATIC, TEMPLATES
from portal.queue import bind_queue


def create_app(config: Config | None = None) -> Flask:
    """Build the application from its settings; from the environment when none are given."""
    config = config or Config.from_environment(os.environ)
    app = Flask("portal", template_folder=str(TEMPLATES), static_folder=str(STATIC))
    app.config["PORTAL"] = config
    configure_log(level=config.log_level, form=config.log_format)
    bind_database(app, url=config.database_url or "", pool_size=config.web_threads + 2)
    bind_queue(app, url=config.redis_url or "", name=config.queue)
    web.register(app)
    api.register(app)
    return app
