"""`taskforge-worker` as a test runs it: a real command over a real database."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
from attrs import define

from tests.support.polling import wait_until

ROOT = Path(__file__).parents[2]


@define(eq=False)
class WorkerCommand:
    """The running command. `rescue` is done here, since no server runs beside it."""

    url: str
    process: subprocess.Popen[str]

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes, without their own children."""
        try:
            return psutil.Process(self.process.pid).children()
        except psutil.NoSuchProcess:
            return []

    def working(self) -> list[int]:
        """Wait until all worker processes hold a lease and return their process ids."""

        def registered() -> list[int]:
            rows = self.query("select process_id from taskforge.worker order by 1")
            alive = sorted(process.pid for process in self.workers())
            return alive if [row[0] for row in rows] == alive else []

        return wait_until(registered, 30)

    def query(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Return the rows of a statement."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(statement, parameters).fetchall()

    def rescue(self) -> bool:
        """Take back what workers without a lease hold, as a server does every second."""
        self.query("select rescued from taskforge.rescue(1000)")
        return True

    def leave(self, number: signal.Signals = signal.SIGTERM, within_seconds: float = 60) -> int:
        """Signal the command and return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(within_seconds)


@contextmanager
def worker_command(
    url: str, *options: str, app: str, folder: Path = ROOT
) -> Iterator[WorkerCommand]:
    """Run `taskforge-worker` for the length of a block; whatever is left of it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "taskforge_client.cli", app, *options],
        cwd=folder,
        env={
            **os.environ,
            "TASKFORGE_URL": url,
            "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT))),
        },
        text=True,
    )
    command = WorkerCommand(url, process)
    try:
        yield command
    finally:
        family = []
        if process.poll() is None:
            family = [
                psutil.Process(process.pid),
                *psutil.Process(process.pid).children(recursive=True),
            ]
        for member in family:
            if member.is_running():
                member.kill()
        process.wait()
