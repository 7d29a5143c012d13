"""Dead letters and their bulk acts, in real processes on a real database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from taskforge_client.wire.jobs import ErrorView
from taskforge_client.wire.states import JobState
from tests.support.commands import document, taskforge
from tests.support.endings import end_jobs
from tests.support.postgres import Database

pytestmark = pytest.mark.e2e


@pytest.fixture
def buried(database: Database, tmp_path: Path) -> list[str]:
    """Ids of three dead letters of two kinds, the oldest first."""
    ids = []
    for task, group in (("shop:charge", "card"), ("shop:charge", "card"), ("shop:pack", "box")):
        finished = taskforge("enqueue", task, folder=tmp_path, database_url=database.url)
        ids.append(finished.stdout.strip())
        error = ErrorView(type="ValueError", message=f"no {group}", group=group)
        asyncio.run(end_jobs(database.url, JobState.DEAD, error=error))
    return ids


def test_dead_letters_are_listed_and_grouped(
    buried: list[str], database: Database, tmp_path: Path
) -> None:
    listed = document(
        taskforge("dead", "list", "--json", folder=tmp_path, database_url=database.url)
    )
    assert set(listed) == {"dead", "count", "cursor"}
    assert [letter["id"] for letter in listed["dead"]] == buried[::-1]
    assert set(listed["dead"][0]) == {
        *("id", "task", "queue", "died_at", "reason", "attempt", "error")
    }
    groups = document(
        taskforge("dead", "groups", "--json", folder=tmp_path, database_url=database.url)
    )["groups"]
    assert [(group["group"], group["count"]) for group in groups] == [("card", 2), ("box", 1)]
    assert set(groups[0]) == {"group", "count", "first_at", "last_at", "sample"}
    shown = taskforge("dead", "show", buried[0], folder=tmp_path, database_url=database.url)
    assert "no card" in shown.stdout


def test_a_bulk_act_names_its_scope_and_asks(
    buried: list[str], database: Database, tmp_path: Path
) -> None:
    asked = taskforge(
        "dead", "retry", "--group", "card", folder=tmp_path, database_url=database.url
    )
    assert asked.returncode == 2
    assert "2 dead letters (group card)" in asked.stderr
    assert "--yes" in asked.stderr

    done = taskforge(
        *("dead", "retry", "--group", "card", "--yes", "--json"),
        folder=tmp_path,
        database_url=database.url,
    )
    assert document(done) == {"asked": 2, "changed": 2}
    listed = document(
        taskforge("dead", "list", "--json", folder=tmp_path, database_url=database.url)
    )
    assert [letter["id"] for letter in listed["dead"]] == [buried[2]]


def test_one_letter_runs_again_with_other_arguments(
    buried: list[str], database: Database, tmp_path: Path
) -> None:
    finished = taskforge(
        *("dead", "retry", buried[2], "--args", '{"box": 7}', "--json"),
        folder=tmp_path,
        database_url=database.url,
    )
    made = document(finished)["id"]
    assert made != buried[2]
    shown = document(
        taskforge("jobs", "show", made, "--json", folder=tmp_path, database_url=database.url)
    )
    assert (shown["args"], shown["edited_from"]) == ({"box": 7}, buried[2])


def test_purging_leaves_the_history(buried: list[str], database: Database, tmp_path: Path) -> None:
    done = taskforge("dead", "purge", "--all", "--yes", folder=tmp_path, database_url=database.url)
    assert "3 of 3" in done.stdout
    shown = document(
        taskforge("jobs", "show", buried[0], "--json", folder=tmp_path, database_url=database.url)
    )
    assert shown["state"] == "dead"
    again = taskforge("dead", "purge", buried[0], folder=tmp_path, database_url=database.url)
    assert again.returncode == 1


def test_a_bulk_act_without_a_choice_is_refused(database: Database, tmp_path: Path) -> None:
    for verb in ("retry", "purge"):
        finished = taskforge("dead", verb, folder=tmp_path, database_url=database.url)
        assert finished.returncode == 2
        assert "--all" in finished.stderr
