"""Who uses an embedded server, and what becomes of it when they go, however they go."""

import contextlib
import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from taskforge_server.storage.embedded import StartPhase, start_embedded
from tests.support.embedded import ask, is_root
from tests.support.embedded_owner import await_ready, owner, spawn_owner
from tests.support.faults import descendants, freeze, has_ended, kill
from tests.support.polling import wait_until

pytestmark = pytest.mark.e2e

on_linux = pytest.mark.skipif(
    not psutil.LINUX, reason="only Linux signals a child when its parent dies"
)


def server_processes(folder: Path) -> list[int]:
    """Process ids of everything whose working folder is the cluster."""
    cluster = str(folder / "cluster")
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == cluster:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def guards_of(folder: Path) -> list[int]:
    """Process ids of those that hold the guard's lock file open."""
    path = str(folder / "guard.lock")
    found = []
    for process in psutil.process_iter():
        try:
            holds = any(file.path == path for file in process.open_files())
            if holds and "guard.py" in " ".join(process.cmdline()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def log_of(folder: Path) -> str:
    """Everything that the server of a data folder has logged."""
    return "".join(path.read_text() for path in (folder / "cluster" / "log").iterdir())


def test_a_killed_owner_leaves_no_server_behind(data_folder: Path) -> None:
    with owner(data_folder) as killed:
        kill(killed.process)
        wait_until(lambda: has_ended(killed.postmaster_pid))
        wait_until(lambda: not server_processes(data_folder))
    with start_embedded(data_folder) as server:
        assert ask(server.url, "SELECT pg_is_in_recovery()") == "False"


def test_an_owner_that_just_ends_leaves_no_server_behind(data_folder: Path) -> None:
    with owner(data_folder) as ended:
        assert ended.process.stdin is not None
        ended.process.stdin.close()
        assert ended.process.wait(15) == 0
        wait_until(lambda: has_ended(ended.postmaster_pid))


def test_a_server_ends_in_order_when_its_owner_is_killed(data_folder: Path) -> None:
    with owner(data_folder) as killed:
        with psycopg.connect(killed.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        kill(killed.process)
        wait_until(lambda: "database system is shut down" in log_of(data_folder))
    assert "received fast shutdown request" in log_of(data_folder)


def test_a_second_process_adopts_the_server_and_keeps_it_when_the_first_is_killed(
    data_folder: Path,
) -> None:
    with owner(data_folder) as first, start_embedded(data_folder) as second:
        assert second.adopted
        assert second.url == first.url
        assert second.postmaster_pid == first.postmaster_pid
        kill(first.process)
        with owner(data_folder) as third:
            # The guard has seen the first go by the time it serves yet another user.
            assert third.ready["adopted"]
            assert third.ask("stop") == "stopped"
        assert ask(second.url, "SELECT 1") == "1"
        assert second.postmaster_pid == first.postmaster_pid
    wait_until(lambda: has_ended(first.postmaster_pid))


def test_the_last_of_several_handles_stops_the_server(data_folder: Path) -> None:
    first = start_embedded(data_folder)
    second = start_embedded(data_folder)
    pid = first.postmaster_pid
    assert pid is not None
    first.stop()
    assert ask(second.url, "SELECT 1") == "1"
    second.stop()
    assert has_ended(pid)


def test_processes_that_start_at_once_get_one_server(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    spawned = [spawn_owner(folder) for _ in range(4)]
    try:
        with ThreadPoolExecutor(max_workers=4) as pool:
            owners = list(pool.map(await_ready, spawned))
        assert len({one.postmaster_pid for one in owners}) == 1
        assert [one.ready["adopted"] for one in owners].count(False) == 1
    finally:
        for process in spawned:
            process.kill()
            process.communicate()
    wait_until(lambda: not server_processes(folder))


def test_a_forked_child_that_outlives_its_owner_keeps_no_server(data_folder: Path) -> None:
    with owner(data_folder) as killed:
        child = int(killed.ask("fork"))
        try:
            kill(killed.process)
            wait_until(lambda: has_ended(killed.postmaster_pid))
            assert not has_ended(child)
        finally:
            kill(child)


def test_an_interrupt_from_the_terminal_reaches_the_owner_and_not_the_server(
    data_folder: Path,
) -> None:
    with owner(data_folder) as interrupted:
        os.killpg(interrupted.process.pid, signal.SIGINT)
        wait_until(lambda: interrupted.ask("interrupts") == "1")
        assert ask(interrupted.url, "SELECT 1") == "1"
        assert interrupted.ask("stop") == "stopped"


@on_linux
def test_a_killed_guard_takes_the_server_with_it(data_folder: Path) -> None:
    with owner(data_folder) as left:
        kill(left.guard_pid)
        wait_until(lambda: has_ended(left.postmaster_pid))
        with start_embedded(data_folder) as server:
            assert not server.adopted
            assert ask(server.url, "SELECT 1") == "1"


@on_linux
def test_a_start_right_after_owner_and_guard_were_killed_finds_the_data(data_folder: Path) -> None:
    with owner(data_folder) as killed:
        with psycopg.connect(killed.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        guard = killed.guard_pid
        kill(killed.process)
        kill(guard)
        with start_embedded(data_folder) as server:
            assert ask(server.url, "SELECT answer FROM kept") == "42"


def test_a_start_right_after_the_owner_was_killed_finds_the_data(data_folder: Path) -> None:
    for _ in range(3):
        with owner(data_folder) as killed:
            kill(killed.process)
            with start_embedded(data_folder) as server:
                assert ask(server.url, "SELECT 1") == "1"


@on_linux
def test_a_guard_killed_within_initdb_leaves_nothing_that_the_next_start_minds(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "data"
    with spawn_owner(folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == StartPhase.CREATING.name
        wait_until((folder / "cluster.new" / "base").exists)
        for pid in guards_of(folder):
            kill(pid)
        assert process.wait(15) != 0
    assert (folder / "cluster.new").exists()
    assert not (folder / "cluster").exists()
    with start_embedded(folder) as server:
        assert ask(server.url, "SELECT 1") == "1"
    assert not (folder / "cluster.new").exists()


def test_an_owner_killed_within_initdb_leaves_nothing_that_the_next_start_minds(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "data"
    with spawn_owner(folder) as process:
        wait_until((folder / "cluster.new" / "base").exists)
        kill(process)
        with start_embedded(folder) as server:
            assert ask(server.url, "SELECT 1") == "1"


def test_a_pid_file_with_the_number_of_another_process_is_no_hindrance(data_folder: Path) -> None:
    with start_embedded(data_folder) as server:
        running = data_folder / "cluster" / "postmaster.pid"
        lines = running.read_text().splitlines()
        server.stop("immediate")
    # As after a power cut, with the number now taken by another process of the server's user.
    uid = running.parent.stat().st_uid
    with subprocess.Popen(["sleep", "60"], user=uid if is_root() else None) as stranger:
        lines[0] = str(stranger.pid)
        running.write_text("\n".join(lines) + "\n")
        with start_embedded(data_folder) as server:
            assert ask(server.url, "SELECT 1") == "1"
        assert stranger.poll() is None
        stranger.kill()


def test_a_server_that_no_longer_answers_is_replaced(data_folder: Path) -> None:
    with owner(data_folder) as frozen:
        freeze(frozen.postmaster_pid)
        with start_embedded(data_folder, health_seconds=0.5) as server:
            assert not server.adopted
            assert server.postmaster_pid != frozen.postmaster_pid
            assert ask(server.url, "SELECT 1") == "1"


def test_a_frozen_server_ends_when_its_owner_is_killed(data_folder: Path) -> None:
    with owner(data_folder) as killed:
        freeze(killed.postmaster_pid)
        kill(killed.process)
        wait_until(lambda: has_ended(killed.postmaster_pid))


def test_a_server_that_is_full_is_adopted_and_not_replaced(data_folder: Path) -> None:
    with start_embedded(data_folder, settings={"max_connections": "8"}) as first:
        with contextlib.ExitStack() as stack:
            for _ in range(8):
                stack.enter_context(psycopg.connect(first.url))
            with pytest.raises(psycopg.OperationalError, match="too many clients"):
                psycopg.connect(first.url)
            with start_embedded(data_folder, health_seconds=0.1) as second:
                assert second.adopted
                assert second.postmaster_pid == first.postmaster_pid
        assert ask(first.url, "SELECT 1") == "1"


def test_a_server_whose_folder_was_removed_ends_with_its_owner(data_folder: Path) -> None:
    with owner(data_folder) as bereft:
        everything = [bereft.guard_pid, bereft.postmaster_pid, *descendants(bereft.postmaster_pid)]
        shutil.rmtree(data_folder)
        kill(bereft.process)
        wait_until(lambda: all(has_ended(pid) for pid in everything))


def test_a_handle_whose_folder_was_removed_may_be_stopped(data_folder: Path) -> None:
    server = start_embedded(data_folder)
    pid = server.postmaster_pid
    assert pid is not None
    shutil.rmtree(data_folder)
    server.stop()
    wait_until(lambda: has_ended(pid))


def test_an_error_of_the_callers_own_is_passed_on_and_leaves_no_server(data_folder: Path) -> None:
    def hang_up(_phase: StartPhase, _seconds: float) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        start_embedded(data_folder, progress=hang_up)
    wait_until(lambda: not guards_of(data_folder) and not server_processes(data_folder))
