"""What stands before the loop: paths of apps, queues as people write them, sources that change."""

import sys
from pathlib import Path

import pytest

from taskforge_client.app import TaskForge
from taskforge_client.cli import main
from taskforge_client.errors import InvalidRequest, NotConfigured
from taskforge_client.settings import ClientSettings
from taskforge_client.worker.locate import load_app, path_of
from taskforge_client.worker.queue_weights import queue_weights
from taskforge_client.worker.roads import open_leases, open_source
from taskforge_client.worker.settings import WorkerSettings
from taskforge_client.worker.watch import SourceWatch, folders_of
from tests.support import worker_app

pytestmark = pytest.mark.unit


def test_an_app_is_found_by_its_path_and_the_path_by_the_app() -> None:
    assert load_app("tests.support.worker_app:app") is worker_app.app
    found = path_of(worker_app.app)
    assert found is not None
    assert load_app(found) is worker_app.app
    assert path_of(TaskForge()) is None


@pytest.mark.parametrize(
    "path,words",
    [
        ("shop", "write module:name"),
        (":app", "write module:name"),
        ("no_such_module:app", "no module 'no_such_module'"),
        ("tests.support.nowhere:app", "no module 'tests.support.nowhere'"),
        ("tests.support.worker_app:ap", "did you mean tests.support.worker_app:app"),
        ("tests.support.worker_app:Path", "is a type"),
    ],
)
def test_a_wrong_path_says_what_is_wrong(path: str, words: str) -> None:
    with pytest.raises(NotConfigured, match=words):
        load_app(path)


def test_a_module_whose_own_import_fails_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_app.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        load_app("broken_app:app")


def test_queues_as_text_names_or_a_mapping() -> None:
    assert queue_weights("mail, default:4") == {"mail": 1, "default": 4}
    assert queue_weights(["mail", "default:2"]) == {"mail": 1, "default": 2}
    assert queue_weights({"mail": 3}) == {"mail": 3}


@pytest.mark.parametrize("wrong", ["", "mail:0", "mail:x", "mail:", "ma il", {"mail": 0}, []])
def test_wrong_queues_are_refused(wrong: str | list[str] | dict[str, int]) -> None:
    with pytest.raises(InvalidRequest):
        queue_weights(wrong)


def test_a_source_that_changes_is_noticed_once(tmp_path: Path) -> None:
    package = tmp_path / "package"
    (package / "__pycache__").mkdir(parents=True)
    source = package / "tasks.py"
    source.write_text("one = 1\n")
    watch = SourceWatch([package])
    assert not watch.changed()
    source.write_text("one = 22\n")
    assert watch.changed()
    assert not watch.changed()
    (package / "__pycache__" / "x.py").write_text("")
    (package / "notes.txt").write_text("")
    assert not watch.changed()
    (package / "more.py").write_text("")
    assert watch.changed()
    source.unlink()
    assert watch.changed()


def test_folders_to_watch_are_the_packages_own() -> None:
    (folder,) = folders_of("taskforge_client.worker.child:main")
    assert folder.name == "taskforge_client"
    assert folders_of("no_such_module:app") == []


def test_a_road_no_worker_can_go_is_refused_before_anything_starts() -> None:
    with pytest.raises(NotConfigured, match="postgresql://"):
        open_source(ClientSettings(url="http://127.0.0.1:8585"))
    with pytest.raises(NotConfigured, match="postgresql://"):
        open_leases(ClientSettings(url="grpc://127.0.0.1"))


@pytest.mark.parametrize("field", ["concurrency", "threads", "children"])
def test_settings_out_of_range_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        WorkerSettings(**{field: 0})  # type: ignore[arg-type]  # one of three integers


def test_the_command_explains_itself_and_refuses_what_it_cannot_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    assert "--queues" in capsys.readouterr().out
    monkeypatch.setenv("TASKFORGE_URL", "http://127.0.0.1:1")
    assert main(["shop:app"]) == 2
    assert "postgresql://" in capsys.readouterr().err
    monkeypatch.setenv("TASKFORGE_URL", "postgresql://localhost/x")
    assert main(["shop:app", "--concurrency", "0"]) == 2
    assert "concurrency" in capsys.readouterr().err
