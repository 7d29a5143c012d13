"""`taskforge dev` and `worker` as processes: they start, work, reload, and leave nothing behind."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.commands import document, taskforge
from tests.support.development import Development
from tests.support.polling import wait_until
from tests.support.postgres import Database

pytestmark = pytest.mark.e2e

SHOP = """
from taskforge_client import TaskForge, every

app = TaskForge()
VERSION = 1

@app.task(queue="shop")
async def charge(order: int) -> str:
    print("charging", order)
    return f"v{VERSION}: {order}"

@app.task(schedule=every(hours=1), name="shop:hourly")
def hourly() -> None: ...
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with an app in `shop.py`."""
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


def test_dev_runs_everything_and_leaves_nothing(shop: Path) -> None:
    with Development(("dev", "shop:app", "--port", "0"), folder=shop) as dev:
        url = dev.url()
        sent = httpx.post(f"{url}/v1/jobs", json={"task": "shop:charge", "args": {"order": 7}})
        assert sent.status_code == 201
        # The commands find the database in the folder; nothing had to be set.
        waited = document(taskforge("jobs", "wait", sent.json()["id"], "--json", folder=shop))
        assert waited["result"] == "v1: 7"
        listed = document(taskforge("schedules", "list", "--json", folder=shop))["schedules"]
        assert [schedule["name"] for schedule in listed] == ["shop:hourly"]
        workers = document(taskforge("workers", "list", "--json", folder=shop))["workers"]
        assert workers[0]["queues"] == {"default": 1, "shop": 1}

        metrics = httpx.get(f"{url}/metrics").text
        assert "taskforge_outcomes_recorded_total 1.0" in metrics  # counted in the worker
        foreign = httpx.get(f"{url}/v1/jobs", headers={"Host": "evil.example"})
        page = httpx.get(f"{url}/v1/jobs", headers={"Origin": "http://evil.example"})
        assert (foreign.status_code, page.status_code) == (403, 403)

        assert dev.interrupt() == 0, dev.output
        assert dev.left_running() == []
        assert "nothing is left running" in dev.output
        assert "Traceback" not in dev.output

    # What was done is still there, and can be looked at without `dev`.
    listed = document(taskforge("jobs", "list", "--task", "shop:charge", "--json", folder=shop))
    assert [job["state"] for job in listed["jobs"]] == ["succeeded"]


def test_dev_draws_a_live_view_on_a_terminal(shop: Path) -> None:
    with Development(("dev", "shop:app", "--port", "0"), folder=shop, terminal=True) as dev:
        url = dev.url()
        httpx.post(f"{url}/v1/jobs", json={"task": "shop:charge", "args": {"order": 7}})
        dev.wait_for("attempts finished")
        dev.wait_for("charging 7")  # a task's own output appears above the view
        dev.wait_for("shop")
        assert dev.interrupt() == 0, dev.output
        assert "nothing is left running" in dev.output


def test_dev_reloads_changed_sources(shop: Path) -> None:
    with Development(("dev", "shop:app", "--port", "0", "--reload"), folder=shop) as dev:
        url = dev.url()

        def result() -> str:
            job = {"task": "shop:charge", "args": {"order": 7}}
            made = httpx.post(f"{url}/v1/jobs", json=job).json()["id"]
            finished = taskforge("jobs", "wait", made, folder=shop)
            return finished.stdout.strip()

        assert result() == '"v1: 7"'
        (shop / "shop.py").write_text(SHOP.replace("VERSION = 1", "VERSION = 22"))
        dev.wait_for("workers restart")
        wait_until(lambda: result() == '"v22: 7"', 30)
        assert dev.interrupt() == 0, dev.output


def test_two_developers_on_one_machine_do_not_meet(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with (
        Development(("dev", "--port", "0"), folder=folders[0]) as one,
        Development(("dev", "--port", "0"), folder=folders[1]) as two,
    ):
        made = httpx.post(f"{one.url()}/v1/jobs", json={"task": "a:b", "args": {}}).json()["id"]
        assert httpx.get(f"{one.url()}/v1/jobs/{made}").status_code == 200
        assert httpx.get(f"{two.url()}/v1/jobs/{made}").status_code == 404
        assert one.interrupt() == 0
        assert httpx.get(f"{two.url()}/readyz").status_code == 200


def test_a_killed_dev_leaves_no_process_for_good(shop: Path) -> None:
    with Development(("dev", "shop:app", "--port", "0"), folder=shop) as dev:
        dev.url()
        dev.kill()
        assert dev.left_running() == []


def test_a_port_in_use_is_told_before_anything_starts(shop: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        finished = taskforge("dev", "shop:app", "--port", port, folder=shop)
    assert finished.returncode == 1
    assert f"port {port}" in finished.stderr
    assert "--port" in finished.stderr
    assert not (shop / ".taskforge").exists()


@pytest.mark.parametrize(
    "app, said",
    [
        ("shpo:app", "there are the modules shop"),
        ("shop:ap", "did you mean shop:app"),
        ("shop:charge", "is a AsyncTask"),
        ("shop", "module:name"),
        ("broken:app", "ZeroDivisionError"),
        ("needy:app", "no_such_library"),
    ],
)
@pytest.mark.parametrize("command", ["dev", "worker"])
def test_a_missing_app_is_told_with_what_was_found(
    shop: Path, module_database: Database, command: str, app: str, said: str
) -> None:
    (shop / "broken.py").write_text("1 / 0\n")
    (shop / "needy.py").write_text("import no_such_library\n")
    port = ("--port", "0") if command == "dev" else ()
    finished = taskforge(command, app, *port, folder=shop, database_url=module_database.url)
    assert finished.returncode == 2, finished.stderr
    assert said in finished.stderr


def test_a_worker_runs_jobs_and_drains(shop: Path, database: Database) -> None:
    settings = {"TASKFORGE_DATABASE_URL": database.url}
    arguments = ("worker", "shop:app", "--processes", "2")
    with Development(arguments, folder=shop, settings=settings) as worker:
        worker.wait_for("2 worker processes")
        sent = taskforge(
            *("enqueue", "shop:charge", "--queue", "shop", "--args", '{"order": 1}', "--wait"),
            folder=shop,
            database_url=database.url,
        )
        assert sent.stdout.strip() == '"v1: 1"'
        psutil.Process(worker.process_id).send_signal(signal.SIGTERM)
        wait_until(lambda: not psutil.pid_exists(worker.process_id) or worker.interrupt() == 0)
        assert worker.left_running() == []
        found = document(
            taskforge("workers", "list", "--json", folder=shop, database_url=database.url)
        )
        assert found == {"workers": []}


def test_a_worker_refuses_an_unknown_queue_name(shop: Path, module_database: Database) -> None:
    finished = taskforge(
        *("worker", "shop:app", "--queues", "no/slash"),
        folder=shop,
        database_url=module_database.url,
    )
    assert finished.returncode == 2
    assert "queue" in finished.stderr
