from pathlib import Path

import pytest

from taskforge_client.settings import CLIENT_SETTINGS as KNOWN_TO_THE_CLIENT
from taskforge_client.settings import SERVER_SETTINGS
from taskforge_server.config.model import CLIENT_SETTINGS, SETTINGS, BadSetting, Config, help_text
from taskforge_server.config.sources import FILE_NAME, Loaded, load

pytestmark = pytest.mark.unit


def read(
    tmp_path: Path, text: str = "", flags: dict[str, object] | None = None, **env: str
) -> Loaded:
    if text:
        (tmp_path / FILE_NAME).write_text(text)
    environment = {f"TASKFORGE_{name.upper()}": value for name, value in env.items()}
    return load(flags=flags or {}, environment={"HOME": "/", **environment}, directory=tmp_path)


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    loaded = read(tmp_path)
    assert loaded.config == Config()
    assert set(loaded.sources.values()) == {"default"}
    assert all(help_text(name).endswith(".") for name in SETTINGS)


def test_flags_go_before_the_environment_before_the_file(tmp_path: Path) -> None:
    text = "http_port = 1\nlog_level = 'debug'\nlog_format = 'json'\n"
    loaded = read(
        tmp_path, text, {"http_port": 3, "log_level": None}, http_port="2", log_format="text"
    )
    assert (loaded.config.http_port, loaded.sources["http_port"]) == (3, "--http-port")
    assert (loaded.config.log_format, loaded.sources["log_format"]) == (
        "text",
        "TASKFORGE_LOG_FORMAT",
    )
    assert (loaded.config.log_level, loaded.sources["log_level"]) == ("debug", FILE_NAME)


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "prepared_statements = false\ndata_directory = 'x'\n",
        {"http_host": "::"},
        retention_days="0",
        pool_connections="12",
    ).config
    assert config.prepared_statements is False
    assert config.data_directory == Path("x")
    assert config.retention_days is None
    assert (config.pool_connections, config.http_host) == (12, "::")
    assert read(tmp_path, flags={"data_directory": tmp_path}).config.data_directory == tmp_path
    assert read(tmp_path, prepared_statements="yes").config.prepared_statements is True


@pytest.mark.parametrize(
    "name,value,words",
    [
        ("htp_port", "1", "no such setting; expected http_port, perhaps"),
        ("zzz", "1", "no such setting; expected one of api_key"),
        ("http_port", "many", "'many' can't be read; expected a whole number"),
        ("http_port", "70000", "TASKFORGE_HTTP_PORT.*out of range; expected 0 to 65,535"),
        ("log_level", "loud", "'loud' is unknown; expected debug or info"),
        ("prepared_statements", "maybe", "expected true or false"),
        ("database_url", "mysql://h/x", "expected postgresql://"),
    ],
)
def test_a_wrong_setting_names_its_source_and_what_is_right(
    tmp_path: Path, name: str, value: str, words: str
) -> None:
    with pytest.raises(BadSetting, match=words):
        load(flags={}, environment={f"TASKFORGE_{name.upper()}": value}, directory=tmp_path)


@pytest.mark.parametrize(
    "text,words",
    [
        ("http_port = true", "can't be read"),
        ("http_host = 3", "can't be read"),
        ("database_url = 3", r"\*\*\* can't be read"),
        ("not toml", "readable TOML"),
        ("htp_port = 1", FILE_NAME),
    ],
)
def test_a_wrong_file_says_so(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        read(tmp_path, text)


def test_settings_of_the_client_are_left_alone(tmp_path: Path) -> None:
    assert read(tmp_path, "url = 'http://x'", api_key="k", project="p").config == Config()
    assert CLIENT_SETTINGS == KNOWN_TO_THE_CLIENT


def test_the_client_knows_every_setting_of_the_server() -> None:
    assert set(SETTINGS) <= SERVER_SETTINGS


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    shown = read(tmp_path, database_url="postgresql://me:hush@host/db").shown()
    values = {one.name: (one.value, one.source) for one in shown}
    assert values["database_url"] == ("postgresql://me:********@host/db", "TASKFORGE_DATABASE_URL")
    assert values["log_level"] == ("info", "default")
    bare = read(tmp_path, database_url="postgresql://host/db").shown()
    assert bare[0].value == "postgresql://host/db"
    assert read(tmp_path).shown()[0].value == ""
