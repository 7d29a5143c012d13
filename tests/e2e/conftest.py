from pathlib import Path

import pytest

from taskforge_server.storage.embedded import start_embedded
from tests.support.postgres import copy_data_folder


@pytest.fixture(scope="session")
def stopped_data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An initialised, stopped data folder to copy from: initdb takes most of a first start."""
    folder = tmp_path_factory.mktemp("embedded") / "original"
    start_embedded(folder).stop()
    return folder


@pytest.fixture
def data_folder(stopped_data_folder: Path, tmp_path: Path) -> Path:
    """A data folder of this test's own, with a cluster in it that does not run."""
    copy_data_folder(stopped_data_folder, tmp_path / "data")
    return tmp_path / "data"
