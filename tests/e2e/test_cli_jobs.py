"""The commands on jobs, in real processes on a real database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from taskforge_client.values import ENCODER
from taskforge_client.wire.jobs import ErrorView
from taskforge_client.wire.states import JobState
from tests.support.commands import document, taskforge
from tests.support.endings import end_jobs
from tests.support.postgres import Database

pytestmark = pytest.mark.e2e

LISTED = {
    *("id", "task", "queue", "state", "priority", "attempt", "max_attempts", "created_at"),
    *("run_at", "started_at", "finished_at", "key", "tags", "meta", "after", "error", "reason"),
    *("worker", "edited_from", "edited_as"),
}
SHOWN = LISTED | {"args", "result", "attempts", "progress"}


class Commands:
    """Runs commands against one database from one folder."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url

    def __call__(self, *arguments: str, exit_code: int = 0) -> str:
        finished = taskforge(*arguments, folder=self.folder, database_url=self.url)
        assert finished.returncode == exit_code, finished.stderr + finished.stdout
        return finished.stdout if exit_code == 0 else finished.stderr

    def json(self, *arguments: str, exit_code: int = 0) -> Any:
        finished = taskforge(*arguments, "--json", folder=self.folder, database_url=self.url)
        assert finished.returncode == exit_code, finished.stderr
        return document(finished)


@pytest.fixture
def run(tmp_path: Path, database: Database) -> Commands:
    return Commands(tmp_path, database.url)


def test_a_job_is_sent_listed_shown_and_cancelled(run: Commands) -> None:
    sent = run.json("enqueue", "shop:charge", "--args", '{"order": 42}', "--queue", "Mail")
    assert set(sent) == {"id", "deduplicated"}
    identifier = sent["id"]

    listed = run.json("jobs", "list", "--queue", "mail")
    assert set(listed) == {"jobs", "cursor"}
    assert [set(job) for job in listed["jobs"]] == [LISTED]

    shown = run.json("jobs", "show", identifier)
    assert set(shown) == SHOWN
    assert shown["args"] == {"order": 42}
    assert shown["state"] == "ready"

    cancelled = run.json("jobs", "cancel", identifier, "--reason", "mistake")
    assert cancelled == {"jobs": [{"id": identifier, "state": "cancelled", "requested": False}]}
    assert run.json("jobs", "show", identifier)["state"] == "cancelled"
    assert "mistake" in run("jobs", "show", identifier)


def test_pages_of_jobs_follow_one_another(run: Commands) -> None:
    ids = [run("enqueue", "shop:charge").strip() for _ in range(3)]
    first = run.json("jobs", "list", "--limit", "2")
    second = run.json("jobs", "list", "--limit", "2", "--cursor", first["cursor"])
    assert [job["id"] for job in first["jobs"] + second["jobs"]] == ids[::-1]
    assert second["cursor"] is None


def test_a_key_makes_one_job(run: Commands) -> None:
    first = run.json("enqueue", "shop:charge", "--key", "order-1")
    again = run.json("enqueue", "shop:charge", "--key", "order-1")
    assert again == {"id": first["id"], "deduplicated": True}
    refusal = run("enqueue", "shop:charge", "--key", "order-1", "--args", '{"a": 1}', exit_code=1)
    assert first["id"] in refusal


def test_waiting_prints_the_result_and_tells_success_from_failure(run: Commands) -> None:
    good = run("enqueue", "shop:charge").strip()
    asyncio.run(end_jobs(run.url, JobState.SUCCEEDED, result=ENCODER.encode({"paid": True})))
    assert run.json("jobs", "wait", good)["result"] == {"paid": True}

    bad = run("enqueue", "shop:charge").strip()
    error = ErrorView(type="ValueError", message="no such card", traceback="line 1", group="g1")
    asyncio.run(end_jobs(run.url, JobState.DEAD, error=error, log="tried the card"))
    assert "no such card" in run("jobs", "wait", bad, exit_code=1)
    assert run.json("jobs", "logs", bad)["attempts"] == [{"attempt": 1, "log": "tried the card"}]
    assert "tried the card" in run("jobs", "logs", bad)

    retried = run.json("jobs", "retry", bad)
    assert retried == {"jobs": [{"id": bad, "deduplicated": False}]}


def test_a_wait_gives_up_in_time(run: Commands) -> None:
    waiting = run("enqueue", "shop:charge", "--delay", "1h").strip()
    assert "scheduled" in run("jobs", "wait", waiting, "--timeout", "100ms", exit_code=1)


@pytest.mark.parametrize(
    "arguments, exit_code, said",
    [
        (("jobs", "show", "job_0000000000001"), 4, "no job"),
        (("jobs", "show", "nonsense"), 2, "'nonsense' is not an id"),
        (("jobs", "list", "--queue", "nowhere"), 4, "no queue 'nowhere'"),
        (("jobs", "list", "--state", "redy"), 2, "redy"),
        (("jobs", "lst"), 2, "did you mean 'list'"),
        (("enqueue", "a b"), 2, "task"),
        (("enqueue", "a:b", "--queue", "no/slash"), 2, "queue"),
        (("enqueue", "a:b", "--delay", "-5"), 2, "negative"),
        (("enqueue", "a:b", "--delay", "soon"), 2, "not a duration"),
        (("enqueue", "a:b", "--run-at", "2030-01-01T00:00:00"), 2, "no time zone"),
        (("enqueue", "a:b", "--args", "[1]"), 2, "expected an object"),
        (("enqueue", "a:b", "--args", "{"), 2, "not JSON"),
        (("enqueue", "a:b", "--priority", "101"), 2, "-100 to 100"),
        (("enqueue", "a:b", "--after", "job_0000000000001"), 4, "no job"),
        (("enqueue", "a:b", "--quue", "x"), 2, "--queue"),
    ],
)
def test_bad_input_is_refused_in_words(
    run: Commands, arguments: tuple[str, ...], exit_code: int, said: str
) -> None:
    assert said in run(*arguments, exit_code=exit_code)


def test_an_oversized_argument_is_refused(run: Commands) -> None:
    # One word of a command line holds at most 128 KiB, so the limit is reached over the API.
    from taskforge_client import TaskForge, TaskForgeError

    app = TaskForge(run.url)
    with pytest.raises(TaskForgeError, match="2,000,011 bytes"):
        app.named("shop:charge").enqueue(text="x" * 2_000_000)
    app.close()


def test_a_mistyped_task_is_pointed_out_but_sent(run: Commands, tmp_path: Path) -> None:
    run("enqueue", "shop.orders:charge")
    finished = taskforge("enqueue", "shop.orders:chagre", folder=tmp_path, database_url=run.url)
    assert finished.returncode == 0
    assert "shop.orders:charge" in finished.stderr
    assert "no task 'shop.orders:chrg'" in run(
        "jobs", "list", "--task", "shop.orders:chrg", exit_code=4
    )


def test_waiting_in_vain_is_explained(run: Commands) -> None:
    waiting = run("enqueue", "shop:charge").strip()
    told = run("jobs", "wait", waiting, "--timeout", "4s", exit_code=1)
    assert "no worker takes from queue default" in told


def test_a_closed_database_is_unreachable(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:9/none"
    for arguments in (("jobs", "list"), ("enqueue", "a:b"), ("queues", "list"), ("migrate",)):
        finished = taskforge(*arguments, folder=tmp_path, database_url=url)
        assert finished.returncode == 3, finished.stderr
        assert "Traceback" not in finished.stderr


def test_nothing_to_speak_to_says_what_to_do(tmp_path: Path) -> None:
    finished = taskforge("jobs", "list", folder=tmp_path)
    assert finished.returncode == 3
    assert "taskforge dev" in finished.stderr
