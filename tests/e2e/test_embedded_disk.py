"""The embedded server on a full disk, and after somebody made room."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskforge_server.storage.embedded import start_embedded
from taskforge_server.storage.errors import EmbeddedPostgresError
from tests.support.embedded import ask, is_root
from tests.support.postgres import copy_data_folder

pytestmark = pytest.mark.e2e


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of a given size, or gives the mounted one another size."""
    if not is_root():
        pytest.skip("mounting a small file system takes root")
    place = tmp_path / "disk"
    place.mkdir()

    def mount(size: str) -> Path:
        options = f"remount,size={size}" if place.is_mount() else f"size={size}"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)],
            check=False,
            capture_output=True,
            text=True,
        )
        if mounted.returncode != 0:
            pytest.skip(f"this container may not mount: {mounted.stderr.strip()}")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True)


def test_a_disk_too_small_for_a_cluster_is_named_and_a_larger_one_heals(
    small_disk: Callable[[str], Path],
) -> None:
    folder = small_disk("20m") / "data"
    with pytest.raises(EmbeddedPostgresError, match="the disk is full"):
        start_embedded(folder)
    assert not (folder / "cluster").exists()
    small_disk("200m")
    with start_embedded(folder) as server:
        assert ask(server.url, "SELECT 1") == "1"


def test_a_disk_that_filled_up_is_named_and_room_heals(
    small_disk: Callable[[str], Path], stopped_data_folder: Path
) -> None:
    disk = small_disk("200m")
    copy_data_folder(stopped_data_folder, disk / "data")
    for log in (disk / "data" / "start.log", *(disk / "data" / "cluster" / "log").iterdir()):
        log.unlink()  # emptied by the next start, they would give it the room it needs
    filler = disk / "filler"
    with filler.open("wb") as file, pytest.raises(OSError, match="No space left"):
        file.write(bytes(200 << 20))
    with pytest.raises(EmbeddedPostgresError, match="the disk is full"):
        start_embedded(disk / "data")
    filler.unlink()
    with start_embedded(disk / "data") as server:
        assert ask(server.url, "SELECT 1") == "1"
