from pathlib import Path

import pytest

from taskforge_client.errors import Unreachable
from taskforge_server.cli.settings import Settings, read_settings
from taskforge_server.cli.target import TargetKind, TargetOptions, choose_target
from taskforge_server.config.model import BadSetting

pytestmark = pytest.mark.unit

DATABASE = {"TASKFORGE_DATABASE_URL": "postgresql://localhost/x"}
SERVER = {"TASKFORGE_URL": "http://example.org", "TASKFORGE_API_KEY": "tfk_1"}


def settings(folder: Path, environment: dict[str, str]) -> Settings:
    return read_settings({"data_directory": folder}, environment=environment, directory=folder)


def chosen(folder: Path, environment: dict[str, str], **flags: object) -> tuple[str, str]:
    options = TargetOptions(**flags)  # type: ignore[arg-type]  # flags of a test
    target = choose_target(options, settings(folder, environment))
    return target.kind.value, target.source


def test_flags_go_before_settings_and_what_is_said_before_what_is_found(tmp_path: Path) -> None:
    (tmp_path / "postgresql").mkdir()
    both = DATABASE | SERVER
    assert chosen(tmp_path, both, database_url="postgresql://h/d") == ("database", "--database-url")
    assert chosen(tmp_path, both, url="http://h") == ("http", "--url")
    assert chosen(tmp_path, both, data=tmp_path) == ("embedded", "--data")
    assert chosen(tmp_path, both) == ("database", "TASKFORGE_DATABASE_URL")
    assert chosen(tmp_path, SERVER) == ("http", "TASKFORGE_URL")
    assert chosen(tmp_path, {}) == ("embedded", "--data-directory")


def test_a_client_url_may_name_a_database(tmp_path: Path) -> None:
    target = choose_target(TargetOptions(url="postgresql://h/d"), settings(tmp_path, {}))
    assert target.kind is TargetKind.DATABASE


def test_a_server_is_asked_with_the_key_that_was_set(tmp_path: Path) -> None:
    assert choose_target(TargetOptions(), settings(tmp_path, SERVER)).api_key == "tfk_1"


def test_nothing_said_and_nothing_found_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="taskforge dev"):
        chosen(tmp_path, {})


def test_settings_come_with_their_sources(tmp_path: Path) -> None:
    (tmp_path / "taskforge.toml").write_text('api_key = "tfk_2"\nhttp_port = 1234\n')
    shown = {one.name: one for one in read_settings(environment={}, directory=tmp_path).shown}
    assert (shown["http_port"].value, shown["http_port"].source) == ("1234", "taskforge.toml")
    assert "tfk_2" not in shown["api_key"].value
    assert shown["url"].source == "default"
    with pytest.raises(BadSetting, match="http_port"):
        read_settings(environment={"TASKFORGE_HTTP_PROT": "1"}, directory=tmp_path)
