from __future__ import annotations

from pathlib import Path

import pytest

from taskforge_client import TaskForge
from taskforge_client.errors import NotConfigured
from taskforge_client.settings import DEFAULT_URL, ClientSettings, from_environment
from taskforge_client.transport.choose import open_transport
from taskforge_client.transport.http import HttpTransport
from taskforge_client.transport.postgres import PostgresTransport

pytestmark = pytest.mark.unit


def test_what_is_stated_wins_over_environment_over_file(tmp_path: Path) -> None:
    assert from_environment({}, tmp_path).url == DEFAULT_URL
    (tmp_path / "taskforge.toml").write_text('url = "http://file"\napi_key = "f"\nproject = "p"\n')
    environment = {"TASKFORGE_URL": "http://env", "TASKFORGE_API_KEY": "e", "PATH": "x"}
    settings = from_environment(environment, tmp_path, url="http://code", api_key=None)
    assert settings == ClientSettings(url="http://code", api_key="e", project="p")


def test_an_unknown_setting_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match=r"TASKFORGE_ULR in the environment.*TASKFORGE_URL"):
        from_environment({"TASKFORGE_ULR": "x"}, tmp_path)
    with pytest.raises(NotConfigured, match="TASKFORGE_API_KEY, TASKFORGE_PROJECT, TASKFORGE_URL"):
        from_environment({"TASKFORGE_QQQQQQQQ": "x"}, tmp_path)
    (tmp_path / "taskforge.toml").write_text('api_kee = "x"\n')
    with pytest.raises(NotConfigured, match=r"api_kee in .*taskforge\.toml.*expected api_key"):
        from_environment({}, tmp_path)


def test_settings_of_the_server_are_none_of_our_business(tmp_path: Path) -> None:
    (tmp_path / "taskforge.toml").write_text('database_url = "x"\nhttp_port = 8585\n')
    environment = {"TASKFORGE_DATABASE_URL": "x", "TASKFORGE_HTTP_PORT": "1"}
    assert from_environment(environment, tmp_path) == ClientSettings()


@pytest.mark.parametrize("content", ["url = 5", "url = [", "\udcff"])
def test_a_file_that_is_wrong_says_so(tmp_path: Path, content: str) -> None:
    (tmp_path / "taskforge.toml").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(NotConfigured, match=r"taskforge\.toml"):
        from_environment({}, tmp_path)


def test_an_app_reads_its_settings_at_the_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TASKFORGE_DATABASE_URL", raising=False)
    app = TaskForge(project="shop")
    monkeypatch.setenv("TASKFORGE_URL", "http://late")
    assert app.settings == ClientSettings(url="http://late", project="shop")


def test_the_url_chooses_the_road() -> None:
    assert isinstance(open_transport(ClientSettings(url="https://x")), HttpTransport)
    direct = open_transport(ClientSettings(url="postgresql://localhost/x"))
    assert isinstance(direct, PostgresTransport)
    for url in ("ftp://x", "localhost:8585", ""):
        with pytest.raises(NotConfigured, match="postgresql, http or https"):
            open_transport(ClientSettings(url=url))
