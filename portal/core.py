"""What pages, doors, commands, workers and the clock share: settings, log, database and queue."""

import os

from flask import Flask

from portal.config import Config
from portal.db import bind_database
from portal.log import configure_log
from portal.paths import STATIC, TEMPLATES
from portal.queue import bind_queue


def create_core(config: Config | None = None) -> Flask:
    """Build an application that answers nobody, from its settings or else the environment.

    Shape: a command or a worker that has no use for pages and doors starts in half the time.
    """
    config = config or Config.from_environment(os.environ)
    app = Flask("portal", template_folder=str(TEMPLATES), static_folder=str(STATIC))
    app.config["PORTAL"] = config
    configure_log(level=config.log_level, form=config.log_format)
    bind_database(app, url=config.database_url or "", pool_size=config.web_threads + 2)
    bind_queue(app, url=config.redis_url or "", name=config.queue)
    return app
