"""The ground of every transaction: it names its organisation, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask

from portal.app import create_app
from portal.db import transaction
from portal.extensions import db
from portal.sql import fetch


def test_a_transaction_names_its_organisation_once_however_many_applications_there_are(
    app: Flask, statements: Callable[..., Any]
) -> None:
    second = create_app(app.config["PORTAL"])
    with second.app_context():
        db.engine.dispose()
    with statements() as recorded, transaction():
        fetch("SELECT 1")
        fetch("SELECT 2")
    assert recorded.scopes == 1
    assert recorded.texts[-2:] == ["SELECT 1", "SELECT 2"]
