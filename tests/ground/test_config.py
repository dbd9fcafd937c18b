"""Settings: what is read, what is refused and in which words."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from portal.config import Config, variable_of
from portal.settings import SettingInvalid

KEY = "k" * 32
DATABASE = "postgresql://portal_app:pass@db.example/portal"
OWN_DATABASE = {"DATABASE_URL": DATABASE, "PORTAL_SECRET_KEY": KEY}


def test_every_setting_has_a_sentence_and_a_default_that_its_own_check_accepts() -> None:
    for one in fields(Config):
        assert one.metadata["sentence"].endswith("."), one.name
    config = Config.from_environment({"HOME": "/home/ada"})
    assert Config.from_environment(config.environment()) == config


@pytest.mark.parametrize(
    ("environ", "name", "value"),
    [
        ({}, "port", 8000),
        ({"PORTAL_PORT": " 0 "}, "port", 0),
        ({"PORTAL_PORT": ""}, "port", 8000),
        ({}, "url", "http://127.0.0.1:8000"),
        ({"PORTAL_HOST": "0.0.0.0", "PORTAL_PORT": "81"}, "url", "http://127.0.0.1:81"),
        ({"PORTAL_HOST": "::1"}, "url", "http://[::1]:8000"),
        ({"PORTAL_URL": "https://bills.example/"}, "url", "https://bills.example"),
        ({"PORTAL_SANDBOX_PORT": "9001"}, "sandbox_url", "http://127.0.0.1:9001"),
        ({"PORTAL_TICK_SECONDS": "0.25"}, "tick_seconds", 0.25),
        ({"PORTAL_QUERY_DELAYS_SECONDS": "0.1, 1,1"}, "query_delays_seconds", (0.1, 1.0, 1.0)),
        ({"PORTAL_LOG_FORMAT": "JSON"}, "log_format", "json"),
        ({"PORTAL_STATE_FOLDER": "/srv/portal"}, "state_folder", Path("/srv/portal")),
        ({"XDG_STATE_HOME": "/x"}, "state_folder", Path("/x/billing-portal")),
        (
            {"XDG_STATE_HOME": "relative", "HOME": "/home/ada"},
            "state_folder",
            Path("/home/ada/.local/state/billing-portal"),
        ),
        (
            {"REDIS_URL": "unix:///run/valkey.sock?db=1"},
            "redis_url",
            "unix:///run/valkey.sock?db=1",
        ),
        (
            OWN_DATABASE,
            "database_url",
            "postgresql+psycopg://portal_app:pass@db.example/portal",
        ),
        (
            {**OWN_DATABASE, "DATABASE_URL": "postgres://a@h/x"},
            "database_owner_url",
            "postgresql+psycopg://a@h/x",
        ),
    ],
)
def test_a_good_value_is_read(environ: dict[str, str], name: str, value: object) -> None:
    assert getattr(Config.from_environment(environ), name) == value


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        (
            {"PORTAL_PORT": "65536"},
            "PORTAL_PORT must be a whole number from 0 to 65535, not '65536'",
        ),
        ({"PORTAL_PORT": "-1"}, "PORTAL_PORT must be"),
        ({"PORTAL_PORT": "8_0"}, "not '8_0'"),
        ({"PORTAL_PORT": "８０"}, "PORTAL_PORT must be"),
        ({"PORTAL_WORKERS": "0"}, "from 1 to 64"),
        ({"PORTAL_TICK_SECONDS": "nan"}, "PORTAL_TICK_SECONDS must be a number"),
        ({"PORTAL_TICK_SECONDS": "1e2"}, "PORTAL_TICK_SECONDS must be a number"),
        ({"PORTAL_QUERY_DELAYS_SECONDS": "5,1"}, "none smaller than the last"),
        ({"PORTAL_QUERY_DELAYS_SECONDS": "5,,1"}, "parted by commas"),
        ({"PORTAL_LOG_LEVEL": "loud"}, "one of debug, info, warning, error, not 'loud'"),
        ({"PORTAL_STATE_FOLDER": "here"}, "an absolute path of a folder, not 'here'"),
        ({"PORTAL_URL": "https://a.example/portal"}, "names no path"),
        ({"PORTAL_URL": "ftp://a.example"}, "begins with http:// or https://"),
        ({"PORTAL_HOST": "a b"}, "PORTAL_HOST must be"),
        ({"DATABASE_URL": "mysql://h/x", "PORTAL_SECRET_KEY": KEY}, "such as postgresql://"),
        ({"REDIS_URL": "redis://"}, "REDIS_URL must be"),
        ({"DATABASE_URL": DATABASE}, "PORTAL_SECRET_KEY must be set when DATABASE_URL is set"),
        ({"DATABASE_OWNER_URL": DATABASE}, "DATABASE_URL is not"),
        (
            {"PORTAL_GATEWAY_TIMEOUT_SECONDS": "60"},
            "PORTAL_GATEWAY_TIMEOUT_SECONDS (60) must be less than PORTAL_MESSAGE_LEASE_SECONDS",
        ),
        (
            {"PORTAL_SESSION_IDLE_MINUTES": "60", "PORTAL_SESSION_HOURS_MAX": "1"},
            "before it can be",
        ),
        ({"PORTAL_PROT": "80"}, "There is no setting PORTAL_PROT; did you mean PORTAL_PORT?"),
        ({"PORTAL_XYZZY_QUUX": "80"}, "There is no setting PORTAL_XYZZY_QUUX"),
        ({"PORTAL_PORT_FILE": "/x"}, "There is no setting PORTAL_PORT_FILE"),
        ({"PORTAL_SECRET_KEY_FILE": "/no/such"}, "the file /no/such cannot be read"),
    ],
)
def test_a_bad_value_is_refused_in_a_sentence_that_names_it(
    environ: dict[str, str], words: str
) -> None:
    with pytest.raises(SettingInvalid) as refused:
        Config.from_environment(environ)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_secret_is_in_no_message_no_row_and_no_repr() -> None:
    with pytest.raises(SettingInvalid) as refused:
        Config.from_environment({"PORTAL_SECRET_KEY": "hunter2"})
    assert "hunter2" not in str(refused.value)
    with pytest.raises(SettingInvalid) as refused:
        Config.from_environment({"DATABASE_URL": "mysql://a:hunter2@h", "PORTAL_SECRET_KEY": KEY})
    assert "hunter2" not in str(refused.value)
    config = Config.from_environment(
        {
            "DATABASE_URL": "postgres://ada:hunter2@h/x?password=hunter2",
            "PORTAL_SECRET_KEY": KEY,
            "REDIS_URL": "redis://:hunter2@h/0",
        }
    )
    text = repr(config) + repr(config.shown())
    assert "hunter2" not in text
    assert KEY not in text
    assert str(config.sandbox_secret) not in text
    assert "postgresql+psycopg://ada:(hidden)@h/x" in text


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    environ = {"PORTAL_SECRET_KEY_FILE": str(file)}
    assert Config.from_environment(environ).secret_key == KEY
    with pytest.raises(SettingInvalid, match="both set"):
        Config.from_environment({**environ, "PORTAL_SECRET_KEY": KEY})


def test_what_is_worked_out_follows_a_change_and_what_was_said_stays() -> None:
    config = Config.from_environment({})
    assert config.changed(port=81).url == "http://127.0.0.1:81"
    said = Config.from_environment({"PORTAL_URL": "https://bills.example"})
    assert said.changed(port=81).url == "https://bills.example"
    first, second = (config.changed(secret_key=letter * 32) for letter in "ab")
    assert first.sandbox_secret != second.sandbox_secret
    assert first.changed(secret_key="b" * 32).sandbox_secret == second.sandbox_secret


def test_the_environment_of_a_child_says_the_same() -> None:
    config = Config.from_environment({**OWN_DATABASE, "PORTAL_QUERY_DELAYS_SECONDS": "0.1,2.5"})
    assert Config.from_environment(config.environment()) == config
    assert all(
        name in {variable_of(f.name) for f in fields(Config)} for name in config.environment()
    )
