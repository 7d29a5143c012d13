"""`taskforge-worker` with real processes on a real PostgreSQL: killed, stuck and drained."""

import signal
from collections import Counter
from pathlib import Path

import psutil
import pytest

from taskforge_client.app import TaskForge
from taskforge_client.errors import JobDead
from taskforge_client.handles import JobHandle
from taskforge_client.retry import Retry
from taskforge_client.wire.states import JobState
from tests.support.polling import let_pass, wait_until
from tests.support.postgres import Database
from tests.support.worker_command import worker_command

pytestmark = [pytest.mark.e2e]
APP = "tests.support.worker_app:app"
TWICE = Retry.fixed(attempts=2, first=0, jitter=0)


@pytest.fixture
def app(database: Database) -> TaskForge:
    return TaskForge(database.url)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def state(handle: JobHandle[object]) -> JobState:
    return handle.view().state


@pytest.mark.fault
def test_f1_jobs_of_a_killed_process_go_on_at_once_and_it_is_replaced(
    app: TaskForge, database: Database, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    slow = app.named("note_slowly")
    with app, worker_command(database.url, app=APP) as command:
        (first,) = command.working()
        handle = slow.enqueue(path=str(notes), line="a", seconds=2)
        wait_until(lambda: lines(notes))
        psutil.Process(first).kill()
        # Far below the 30 s of the lease: the supervisor saw the process die and ended it.
        wait_until(lambda: command.rescue() and lines(notes).count("begin a") == 2, 15)
        assert handle.result(timeout=20) is None
        assert handle.view().attempt == 2
        assert command.working() != [first]
        assert command.leave() == 0
    assert Counter(lines(notes)) == {"begin a": 2, "end a": 1}


@pytest.mark.fault
def test_f10_sigterm_finishes_what_runs_and_gives_back_what_does_not(
    app: TaskForge, database: Database, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    slow = app.named("note_slowly")
    with app:
        with worker_command(
            database.url, "--concurrency", "2", "--processes", "2", app=APP
        ) as command:
            command.working()
            handles = [slow.enqueue(path=str(notes), line=str(n), seconds=1) for n in range(12)]
            wait_until(lambda: len(lines(notes)) >= 4)
            assert command.leave() == 0
        begun = Counter(line.split()[0] for line in lines(notes))
        assert begun["begin"] == begun["end"]
        states = Counter(state(handle) for handle in handles)
        assert states[JobState.SUCCEEDED] == begun["end"]
        assert states[JobState.READY] == 12 - begun["end"]
        left = [handle for handle in handles if state(handle) is JobState.READY]
        assert {handle.view().attempt for handle in left} <= {0}


@pytest.mark.fault
def test_f10_a_second_signal_hastens_and_the_attempt_does_not_count(
    app: TaskForge, database: Database, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    with app:
        with worker_command(database.url, "--grace", "60", app=APP) as command:
            command.working()
            handle = app.named("note_slowly").enqueue(path=str(notes), line="a", seconds=100)
            wait_until(lambda: lines(notes))
            command.process.send_signal(signal.SIGTERM)
            let_pass(1)  # two signals at once would be one
            assert command.leave(within_seconds=20) == 0
        assert state(handle) is JobState.READY
        assert handle.view().attempt == 0


@pytest.mark.fault
def test_f6_a_job_that_holds_the_interpreter_keeps_its_lease(
    app: TaskForge, database: Database
) -> None:
    with app, worker_command(database.url, "--lease", "3", app=APP) as command:
        command.working()
        handle = app.named("hog").enqueue(seconds=8)
        wait_until(lambda: state(handle) is JobState.RUNNING)
        # Nothing is rescued although the job holds the lock for more than two leases.
        wait_until(lambda: command.rescue() and state(handle).is_final, 30)
        assert state(handle) is JobState.SUCCEEDED
        assert handle.view().attempt == 1
        assert command.leave() == 0


@pytest.mark.fault
def test_f6_a_job_that_holds_the_interpreter_past_its_deadline_is_killed(
    app: TaskForge, database: Database
) -> None:
    with app, worker_command(database.url, app=APP) as command:
        (first,) = command.working()
        stuck = app.named("hog").using(timeout=1, retry=TWICE).enqueue(seconds=100_000)
        wait_until(lambda: state(stuck) is JobState.RUNNING)
        wait_until(lambda: not psutil.pid_exists(first), 8)
        wait_until(lambda: command.rescue() and state(stuck).is_final, 30)
        with pytest.raises(JobDead):
            stuck.result(timeout=1)
        assert command.leave() == 0


@pytest.mark.fault
def test_f7_a_thread_that_hangs_is_given_up_and_its_process_replaced(
    app: TaskForge, database: Database
) -> None:
    with app, worker_command(database.url, app=APP) as command:
        (first,) = command.working()
        stuck = app.named("hang_in_thread").using(timeout=0.5, retry=TWICE).enqueue()
        beside = app.named("tick").enqueue(seconds=4)
        wait_until(lambda: stuck.view().attempt >= 1 and state(stuck) is not JobState.RUNNING, 10)
        assert beside.result(timeout=20) > 100
        wait_until(lambda: not psutil.pid_exists(first), 30)
        wait_until(lambda: command.rescue() and state(stuck) is JobState.DEAD, 30)
        assert stuck.view().reason == "timeout"


def test_a_process_is_replaced_after_so_many_jobs_and_loses_none(
    app: TaskForge, database: Database
) -> None:
    with app, worker_command(database.url, "--max-jobs", "50", app=APP) as command:
        (first,) = command.working()
        handles = [app.named("noop").enqueue(n=n) for n in range(60)]
        assert [handle.result(timeout=30) for handle in handles] == list(range(60))
        wait_until(lambda: command.working() != [first])
        assert command.leave() == 0


def test_a_changed_source_restarts_the_workers(
    app: TaskForge, database: Database, tmp_path: Path
) -> None:
    source = tmp_path / "reloaded_app.py"
    text = (
        "from taskforge_client import TaskForge\n"
        "app = TaskForge()\n"
        "@app.task(name='answer')\n"
        "async def answer() -> int:\n"
        "    return {}\n"
    )
    source.write_text(text.format(41))
    with (
        app,
        worker_command(
            database.url, "--reload", app="reloaded_app:app", folder=tmp_path
        ) as command,
    ):
        command.working()
        assert app.named("answer").enqueue().result(timeout=20) == 41
        source.write_text(text.format(4200))
        wait_until(lambda: app.named("answer").enqueue().result(timeout=20) == 4200, 30)
        assert command.leave() == 0


def test_an_app_that_is_not_there_ends_the_command_with_usage_status(
    database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    with worker_command(database.url, app="tests.support.worker_app:ap") as command:
        assert command.process.wait(20) == 2
    assert "did you mean tests.support.worker_app:app?" in capfd.readouterr().err
