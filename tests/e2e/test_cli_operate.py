"""The operator's commands: migrate, doctor, config, queues, schedules, workers, keys."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest

from taskforge_client.wire.schedules import ScheduleKind, ScheduleSpec
from taskforge_server.storage import schedules
from taskforge_server.storage.pool import Pool
from tests.support.commands import document, taskforge
from tests.support.development import Development
from tests.support.polling import wait_until
from tests.support.postgres import Database, DatabaseServer

pytestmark = pytest.mark.e2e

QUEUE = {"name", "paused", "depth", "oldest_ready_at", "finished_per_second", "sampled_at"}
SCHEDULE = {
    *("id", "name", "kind", "task", "expression", "interval_seconds", "timezone", "misfire"),
    *("overlap", "options", "paused", "next_at", "last_at", "last_job", "args"),
}
WORKER = {
    *("id", "host", "process_id", "concurrency", "started_at", "seen_at", "alive", "draining"),
    *("running", "queues", "version"),
}
KEY = {"id", "name", "created_at", "expires_at", "revoked_at", "last_used_at"}


def json_of(*arguments: str, folder: Path, url: str) -> Any:
    return document(taskforge(*arguments, "--json", folder=folder, database_url=url))


def test_queues_are_listed_paused_and_resumed(tmp_path: Path, database: Database) -> None:
    taskforge("enqueue", "a:b", "--queue", "mail", folder=tmp_path, database_url=database.url)
    listed = json_of("queues", "list", folder=tmp_path, url=database.url)["queues"]
    assert [set(queue) for queue in listed] == [QUEUE]
    assert listed[0]["depth"]["ready"] == 1
    for verb, paused in (("pause", True), ("resume", False)):
        done = taskforge("queues", verb, "Mail", folder=tmp_path, database_url=database.url)
        assert done.returncode == 0, done.stderr
        listed = json_of("queues", "list", folder=tmp_path, url=database.url)["queues"]
        assert listed[0]["paused"] is paused
    missing = taskforge("queues", "pause", "mial", folder=tmp_path, database_url=database.url)
    assert missing.returncode == 4
    assert "did you mean 'mail'" in missing.stderr


def test_schedules_are_listed_shown_and_triggered(tmp_path: Path, database: Database) -> None:
    spec = ScheduleSpec(name="nightly", kind=ScheduleKind.CRON, task="a:b", expression="0 3 * * *")

    async def put() -> None:
        async with await Pool.open(database.url) as pool, pool.transaction() as connection:
            await schedules.put(connection, 1, spec)

    asyncio.run(put())
    listed = json_of("schedules", "list", folder=tmp_path, url=database.url)["schedules"]
    assert [set(schedule) for schedule in listed] == [SCHEDULE]
    shown = json_of("schedules", "show", "nightly", folder=tmp_path, url=database.url)
    assert (shown["expression"], shown["args"]) == ("0 3 * * *", {})
    made = json_of("schedules", "trigger", "nightly", folder=tmp_path, url=database.url)["id"]
    job = json_of("jobs", "show", made, folder=tmp_path, url=database.url)
    assert (job["task"], job["state"]) == ("a:b", "ready")
    missing = taskforge("schedules", "show", "nigthly", folder=tmp_path, database_url=database.url)
    assert (missing.returncode, "'nightly'" in missing.stderr) == (4, True)


def test_workers_are_listed_and_drained(tmp_path: Path, database: Database) -> None:
    (tmp_path / "shop.py").write_text("from taskforge_client import TaskForge\napp = TaskForge()\n")
    settings = {"TASKFORGE_DATABASE_URL": database.url}
    with Development(("worker", "shop:app"), folder=tmp_path, settings=settings) as running:
        running.wait_for("worker process")
        listed = wait_until(
            lambda: json_of("workers", "list", folder=tmp_path, url=database.url)["workers"]
        )
        assert [set(worker) for worker in listed] == [WORKER]
        asked = taskforge("workers", "drain", "--all", folder=tmp_path, database_url=database.url)
        assert asked.returncode == 2
        assert "drain 1 workers" in asked.stderr
        identifier = listed[0]["id"]
        drained = json_of("workers", "drain", identifier, folder=tmp_path, url=database.url)
        assert drained == {"workers": [identifier]}
    unknown = taskforge(
        "workers", "drain", "wrk_0000000000099", folder=tmp_path, database_url=database.url
    )
    assert unknown.returncode == 4


def test_keys_are_made_shown_once_and_revoked(tmp_path: Path, database: Database) -> None:
    made = json_of("admin", "key", "create", "ci", folder=tmp_path, url=database.url)
    assert set(made) == {"key", "secret"}
    assert set(made["key"]) == KEY
    listed = json_of("admin", "key", "list", folder=tmp_path, url=database.url)
    assert [set(key) for key in listed["keys"]] == [KEY]
    assert made["secret"] not in str(listed)
    with psycopg.connect(database.url) as connection:
        stored = connection.execute("select * from taskforge.api_key").fetchone()
    assert made["secret"] not in str(stored)
    identifier = made["key"]["id"]
    done = taskforge(
        "admin", "key", "revoke", identifier, folder=tmp_path, database_url=database.url
    )
    assert done.returncode == 0
    listed = json_of("admin", "key", "list", folder=tmp_path, url=database.url)
    assert listed["keys"][0]["revoked_at"] is not None


def test_a_server_node_asks_for_a_key_and_forgets_a_revoked_one(
    tmp_path: Path, database: Database
) -> None:
    settings = {"TASKFORGE_DATABASE_URL": database.url}
    with Development(("server", "--port", "0"), folder=tmp_path, settings=settings) as server:
        url = server.url()
        made = json_of("admin", "key", "create", "ci", folder=tmp_path, url=database.url)
        over_http = {"TASKFORGE_URL": url, "TASKFORGE_API_KEY": made["secret"]}
        refused = taskforge("jobs", "list", folder=tmp_path, settings={"TASKFORGE_URL": url})
        assert refused.returncode == 1
        assert "API key" in refused.stderr
        sent = taskforge("enqueue", "a:b", "--json", folder=tmp_path, settings=over_http)
        identifier = document(sent)["id"]
        listed = document(taskforge("jobs", "list", "--json", folder=tmp_path, settings=over_http))
        assert [job["id"] for job in listed["jobs"]] == [identifier]
        shown = taskforge("jobs", "show", identifier, folder=tmp_path, settings=over_http)
        assert shown.returncode == 0
        needs_database = taskforge("dead", "list", folder=tmp_path, settings=over_http)
        assert needs_database.returncode == 2
        assert "TASKFORGE_DATABASE_URL" in needs_database.stderr
        checked = taskforge("doctor", "--json", folder=tmp_path, settings=over_http)
        assert checked.returncode == 0, checked.stdout
        assert server.interrupt() == 0, server.output
    gone = taskforge("jobs", "show", identifier, folder=tmp_path, settings=over_http)
    assert gone.returncode == 3


def test_a_schema_is_planned_applied_and_checked(
    tmp_path: Path, database_server: DatabaseServer, database: Database
) -> None:
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("drop schema taskforge cascade")
    url = database.url
    plan = json_of("migrate", "--plan", folder=tmp_path, url=url)["pending"]
    assert plan[0].startswith("0001_")
    assert taskforge("migrate", "--check", folder=tmp_path, database_url=url).returncode == 1
    for command in (("jobs", "list"), ("enqueue", "a:b"), ("queues", "list")):
        early = taskforge(*command, folder=tmp_path, database_url=url)
        assert early.returncode == 2
        assert "taskforge migrate" in early.stderr
    server = taskforge("server", "--port", "0", folder=tmp_path, database_url=url)
    assert (server.returncode, "taskforge migrate" in server.stderr) == (1, True)
    assert json_of("migrate", folder=tmp_path, url=url)["applied"] == plan
    assert json_of("migrate", folder=tmp_path, url=url)["applied"] == []
    assert taskforge("migrate", "--check", folder=tmp_path, database_url=url).returncode == 0


def test_a_newer_schema_is_refused(tmp_path: Path, database: Database) -> None:
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(
            "insert into taskforge.migration (number, name, checksum) values (9999, '9999_x', '')"
        )
    for command in (("migrate",), ("server", "--port", "0"), ("worker", "shop:app")):
        (tmp_path / "shop.py").write_text(
            "from taskforge_client import TaskForge\napp = TaskForge()\n"
        )
        finished = taskforge(*command, folder=tmp_path, database_url=database.url)
        assert finished.returncode == 1
        assert "9999_x" in finished.stderr


def test_the_doctor_finds_what_is_wrong(tmp_path: Path, database: Database) -> None:
    finished = taskforge("doctor", "--json", folder=tmp_path, database_url=database.url)
    findings = {one["check"]: one for one in document(finished)["findings"]}
    assert finished.returncode == 1
    assert all(set(one) == {"check", "grade", "found", "advice"} for one in findings.values())
    assert findings["schema"]["grade"] == "ok"
    # No server node and no worker run on this database.
    assert findings["engine"]["grade"] == "wrong"
    assert "taskforge server" in findings["engine"]["advice"]
    assert findings["workers"]["grade"] == "warning"

    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("drop schema taskforge cascade")
    finished = taskforge("doctor", folder=tmp_path, database_url=database.url)
    assert finished.returncode == 1
    assert "taskforge migrate" in finished.stdout

    away = taskforge("doctor", folder=tmp_path, database_url="postgresql://nobody@127.0.0.1:9/none")
    assert away.returncode == 1
    assert "database: " in away.stdout
    assert taskforge("doctor", folder=tmp_path).returncode == 1


def test_the_settings_are_shown_with_their_sources(tmp_path: Path) -> None:
    (tmp_path / "taskforge.toml").write_text('http_port = 9999\nurl = "http://example.org"\n')
    settings = {"TASKFORGE_DATABASE_URL": "postgresql://me:secret@localhost/x"}
    finished = taskforge("config", "show", "--json", folder=tmp_path, settings=settings)
    shown = document(finished)
    by_name = {one["name"]: one for one in shown["settings"]}
    assert all(set(one) == {"name", "value", "source"} for one in by_name.values())
    assert by_name["http_port"] == {
        "name": "http_port",
        "value": "9999",
        "source": "taskforge.toml",
    }
    assert by_name["database_url"]["source"] == "TASKFORGE_DATABASE_URL"
    assert "secret" not in finished.stdout
    assert shown["target"] == {
        "kind": "database",
        "address": "postgresql://me:***@localhost/x",
        "source": "TASKFORGE_DATABASE_URL",
    }
    assert "secret" not in taskforge("config", "show", folder=tmp_path, settings=settings).stdout


def test_an_unknown_setting_is_refused_with_the_nearest(tmp_path: Path) -> None:
    finished = taskforge("jobs", "list", folder=tmp_path, settings={"TASKFORGE_DATABSE_URL": "x"})
    assert finished.returncode == 2
    assert "database_url" in finished.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_learns_the_commands(tmp_path: Path, shell: str) -> None:
    finished = taskforge("completion", shell, folder=tmp_path)
    assert finished.returncode == 0
    assert "_TASKFORGE_COMPLETE" in finished.stdout


def test_a_script_completes_commands(tmp_path: Path) -> None:
    settings = {
        "_TASKFORGE_COMPLETE": "bash_complete",
        "COMP_WORDS": "taskforge jo",
        "COMP_CWORD": "1",
    }
    finished = taskforge(folder=tmp_path, settings=settings)
    assert "jobs" in finished.stdout
