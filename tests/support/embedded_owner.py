"""A process that owns an embedded PostgreSQL, for tests that kill it: run as a module.

    python -m tests.support.embedded_owner FOLDER [PROGRAMS]

It says one JSON object when the server is ready, and a line for each phase before. Then it obeys
lines on its standard input: `stop`, `fork` (leave a child process behind), `interrupts` (tell how
many came). At the end of the input it ends without stopping the server.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
from attrs import define

from taskforge_server.storage.embedded import start_embedded

ROOT = Path(__file__).parents[2]


@define(kw_only=True, eq=False)
class Owner:
    """The started process as its test sees it."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    @property
    def postmaster_pid(self) -> int:
        return int(self.ready["postmaster_pid"])

    @property
    def guard_pid(self) -> int:
        return int(psutil.Process(self.postmaster_pid).ppid())

    def ask(self, line: str) -> str:
        """Send a line, and return the line that comes back."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


def spawn_owner(
    folder: Path, *, prefix: Sequence[str] = (), programs: Path | None = None
) -> subprocess.Popen[str]:
    """Start the process in a session of its own.

    Args:
        folder: The data folder.
        prefix: A command that starts commands.
        programs: Folder with PostgreSQL's programs; None takes the installed wheel's.
    """
    arguments = [str(folder), *([str(programs)] if programs else [])]
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "tests.support.embedded_owner", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def await_ready(process: subprocess.Popen[str]) -> Owner:
    """Read until the server is ready."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            return Owner(process=process, ready=json.loads(line))
    message = f"the owner ended with {process.wait(15)} before its server was ready"
    raise AssertionError(message)


@contextlib.contextmanager
def owner(
    folder: Path, *, prefix: Sequence[str] = (), programs: Path | None = None
) -> Iterator[Owner]:
    """A running owner; killed at the end if it still runs."""
    with spawn_owner(folder, prefix=prefix, programs=programs) as process:
        try:
            yield await_ready(process)
        finally:
            process.kill()


def say(line: str) -> None:
    """Write a line that the test is waiting for."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Own a server until told otherwise."""
    interrupts: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: interrupts.append(number))
    server = start_embedded(
        sys.argv[1],
        binaries=Path(sys.argv[2]) if sys.argv[2:] else None,
        progress=lambda phase, _seconds: say(phase.name),
    )
    described = {
        "url": server.url,
        "port": server.port,
        "postmaster_pid": server.postmaster_pid,
        "adopted": server.adopted,
    }
    say(json.dumps(described))
    for line in sys.stdin:
        match line.strip():
            case "stop":
                server.stop()
                say("stopped")
            case "fork":
                child = os.fork()
                if child == 0:
                    signal.pause()
                say(str(child))
            case "interrupts":
                say(str(len(interrupts)))
    os._exit(0)


if __name__ == "__main__":
    main()
