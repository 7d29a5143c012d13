"""PostgreSQL's main process as seen from outside: its pid file, whether it lives, signals to it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

_NAMES = frozenset({"postgres", "postmaster"})
_STATUS_LINE = 8
_ON_LINUX: bool = bool(sys.platform == "linux")


@frozen(kw_only=True)
class PostmasterFile:
    """What `postmaster.pid` says (PostgreSQL documents its lines in `miscadmin.h`).

    Attributes:
        pid: Process id of the server.
        port: Its TCP port.
        status: `starting`, `ready`, `stopping` or `standby`; empty before the server has said
            anything.
    """

    pid: int
    port: int
    status: str


def read_postmaster_file(cluster: Path) -> PostmasterFile | None:
    """Read `postmaster.pid` of a cluster; None when there is none or it is being written."""
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return PostmasterFile(
            pid=abs(int(lines[0])),
            port=int(lines[3]),
            status=lines[_STATUS_LINE - 1].strip() if len(lines) >= _STATUS_LINE else "",
        )
    except (OSError, ValueError, IndexError):
        return None


def serves(pid: int, cluster: Path) -> bool:
    """Whether process `pid` belongs to this cluster, and is no stranger with a re-used number."""
    if _ON_LINUX:
        process = Path("/proc") / str(pid)
        with contextlib.suppress(OSError):
            return (process / "comm").read_text().strip() in _NAMES and os.path.samestat(
                (process / "cwd").stat(), cluster.stat()
            )
        return False
    asked = subprocess.run(  # noqa: S603  a system program and a number
        ["/bin/ps", "-o", "comm=", "-p", str(pid)], check=False, capture_output=True, text=True
    )
    return Path(asked.stdout.strip()).name in _NAMES


def left_processes(cluster: Path) -> Iterator[int]:
    """Process ids of this cluster's server; orphaned backends are found on Linux only."""
    noted = read_postmaster_file(cluster)
    if not _ON_LINUX:
        if noted is not None and serves(noted.pid, cluster):
            yield noted.pid
        return
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and serves(int(entry.name), cluster):
            yield int(entry.name)


def end_left_processes(cluster: Path, *, patience_seconds: float) -> bool:
    """Stop what still runs on a cluster that nobody guards: first kindly, in the end not.

    Args:
        cluster: PostgreSQL's data folder.
        patience_seconds: How long each of the three signals may take to work.

    Returns:
        Whether nothing is left.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        deadline = time.monotonic() + patience_seconds
        for pid in left_processes(cluster):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)  # a frozen process does not act on the others
        while time.monotonic() < deadline:
            if next(left_processes(cluster), None) is None:
                return True
            time.sleep(0.02)
    return False
