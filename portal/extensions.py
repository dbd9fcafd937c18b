"""The database extension, unbound: `portal.app` binds it to an application."""

from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()
