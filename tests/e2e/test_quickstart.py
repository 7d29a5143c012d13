"""The examples run as their docstrings say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.support.commands import ROOT, clean_environment, document, taskforge
from tests.support.development import Development
from tests.support.postgres import Database

pytestmark = pytest.mark.e2e


def run_module(
    name: str, *arguments: str, settings: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", name, *arguments],
        cwd=ROOT,
        env=clean_environment({"COLUMNS": "160", **(settings or {})}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_quickstart_indexes_this_repository(tmp_path: Path) -> None:
    data = tmp_path / "data"
    finished = run_module("examples.quickstart", "--data", str(data))
    assert finished.returncode == 0, finished.stderr
    assert "were tried again; the join ran once" in finished.stdout
    assert "the schedule fired" in finished.stdout
    assert "taskforge dev examples.quickstart:app" in finished.stdout

    # Its database tells the same: every file once, the join once, nothing dead.
    def count(task: str, state: str) -> int:
        arguments = ("--task", f"examples.quickstart:{task}", "--state", state, "--limit", "1000")
        listed = taskforge(
            "jobs", "list", *arguments, "--json", "--data", str(data), folder=tmp_path
        )
        return len(document(listed)["jobs"])

    assert count("summarise", "succeeded") == 1
    assert count("measure", "succeeded") > 100
    dead = taskforge("dead", "list", "--json", "--data", str(data), folder=tmp_path)
    assert document(dead)["count"] == 0


def test_the_smallest_example_runs_beside_dev(tmp_path: Path) -> None:
    arguments = ("dev", "examples.hello:app", "--port", "0")
    with Development(arguments, folder=tmp_path) as dev:
        finished = run_module("examples.hello", settings={"TASKFORGE_URL": dev.url()})
        assert finished.returncode == 0, finished.stderr
        assert "Halo, Wati!" in finished.stdout
        assert dev.interrupt() == 0


def test_a_job_commits_with_its_data_or_never_was(database: Database) -> None:
    finished = run_module(
        "examples.transactional", settings={"TASKFORGE_DATABASE_URL": database.url}
    )
    assert finished.returncode == 0, finished.stderr
    assert "orders and jobs: (1, 1)" in finished.stdout
    with psycopg.connect(database.url) as connection:
        assert connection.execute("select count(*) from taskforge.jobs").fetchone() == (1,)
