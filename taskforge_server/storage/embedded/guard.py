"""The guard: a small process between its owner and PostgreSQL, run as a script of its own.

It makes the cluster if there is none, starts `postgres` as its child, and stops it when no user of
the data folder is left, however they went: users are locked files, which the kernel unlocks when a
process dies. It lives in a session of its own, so that Ctrl-C in a terminal reaches the owner and
not the server. If the guard itself is killed, the kernel sends PostgreSQL the signal for a fast
shutdown (on Linux).

It imports the standard library only and is told everything by one JSON object on its standard
input.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

_SET_PARENT_DEATH_SIGNAL = 1
_SET_DUMPABLE = 4
_NEW_USER_NAMESPACE = 0x10000000


def _tell(**event: Any) -> None:
    """Report to the owner, who may be dead or no longer listening."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


def _before_start(death_signal: int, name_uid: int | None) -> Callable[[], None]:
    """What a child does between fork and exec."""
    library = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    guard_pid = os.getpid()

    def prepare() -> None:
        if library is None:
            return
        own_uid, own_gid = os.geteuid(), os.getegid()
        if name_uid is not None and library.unshare(_NEW_USER_NAMESPACE) == 0:
            # A change of user makes /proc/self root's; this makes it ours again.
            library.prctl(_SET_DUMPABLE, 1, 0, 0, 0)
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"{name_uid} {own_uid} 1")
            _write("/proc/self/gid_map", f"{name_uid} {own_gid} 1")
        library.prctl(_SET_PARENT_DEATH_SIGNAL, death_signal, 0, 0, 0)
        if os.getppid() != guard_pid:
            os._exit(1)  # the guard died before the kernel could note our wish

    return prepare


def _write(path: str, text: str) -> None:
    """Write without any import, for which it may be too late between fork and exec."""
    descriptor = os.open(path, os.O_WRONLY)
    os.write(descriptor, text.encode())
    os.close(descriptor)


@contextlib.contextmanager
def _named(folder: str, *, by_descriptor: bool) -> Iterator[tuple[str, list[int]]]:
    """A name for a folder that a child can use, and the descriptors that it needs for that."""
    if not by_descriptor:
        yield folder, []
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}", [descriptor]
    finally:
        os.close(descriptor)


def _make_cluster(specification: dict[str, Any]) -> bool:
    """Run initdb in a passing folder and rename it when it is complete."""
    reading, writing = os.pipe()
    if specification["uid"] is not None:
        # The child opens the pipe by name, as another user.
        with contextlib.suppress(OSError):
            os.fchown(reading, specification["uid"], specification["gid"])
    os.write(writing, specification["password"].encode() + b"\n")
    os.close(writing)
    by_descriptor = specification["by_descriptor"]
    with _named(specification["new_cluster"], by_descriptor=by_descriptor) as (place, descriptors):
        made = subprocess.run(  # noqa: S603  the command comes from our own parent
            [*specification["initdb"], f"--pwfile=/dev/fd/{reading}", "-D", place],
            check=False,
            cwd="/",
            env=specification["environment"],
            pass_fds=[reading, *descriptors],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=_before_start(signal.SIGKILL, specification["initdb_name_uid"]),
            user=specification["uid"],
            group=specification["gid"],
            extra_groups=None if specification["uid"] is None else [],
        )
    os.close(reading)
    if made.returncode != 0:
        shutil.rmtree(specification["new_cluster"], ignore_errors=True)
        said = made.stdout.decode("utf-8", "replace").strip().splitlines()
        _tell(event="failed", step="initdb", said="\n".join(said[-8:]))
        return False
    os.rename(specification["new_cluster"], specification["cluster"])  # noqa: PTH104
    return True


def _start(specification: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start `postgres`, which tells of its start where the guard's own errors go."""
    by_descriptor = specification["by_descriptor"]
    with _named(specification["cluster"], by_descriptor=by_descriptor) as (place, descriptors):
        return subprocess.Popen(  # noqa: S603  the command comes from our own parent
            [*specification["postgres"], "-D", place],
            cwd="/",
            pass_fds=descriptors,
            env=specification["environment"],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            preexec_fn=_before_start(  # noqa: PLW1509  this process has no threads yet
                signal.SIGINT, specification["server_name_uid"]
            ),
            user=specification["uid"],
            group=specification["gid"],
            extra_groups=None if specification["uid"] is None else [],
        )


def _stop(server: subprocess.Popen[bytes], stop_seconds: float) -> None:
    """Fast shutdown; when that hangs, an immediate one, and then the end."""
    for number, seconds in (
        (signal.SIGINT, stop_seconds),
        (signal.SIGQUIT, 5),
        (signal.SIGKILL, 5),
    ):
        server.send_signal(number)
        server.send_signal(signal.SIGCONT)  # a frozen process acts on nothing else but the last
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(seconds)
            return


def _users(folder: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]  # noqa: PTH208
    except OSError:
        return []  # the data folder has been taken away under the running server


def _wait_for_end_of(path: str) -> None:
    """Return when the process that holds this user file locked has let go or died."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108
        os.close(descriptor)


def _watch_users(specification: dict[str, Any], server: subprocess.Popen[bytes]) -> None:
    """Stop the server when the data folder has no user any more."""
    folder = specification["users"]
    while True:
        while names := _users(folder):
            _wait_for_end_of(os.path.join(folder, names[0]))  # noqa: PTH118
        with contextlib.suppress(OSError):
            # With the lock held nobody can become a user; whoever did before it is seen now.
            descriptor = os.open(specification["lock"], os.O_RDWR | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _users(folder):
                os.close(descriptor)
                continue
        _stop(server, specification["stop_seconds"])
        return  # the lock stays held until this process ends


def main() -> int:
    """Make, start and watch one server; return when it has ended."""
    specification = json.load(sys.stdin)
    if os.fork() > 0:
        return 0  # the owner waits for this one; the guard itself is nobody's child to reap
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        if specification["initdb"] and not _make_cluster(specification):
            return 1
        server = _start(specification)
    except (OSError, subprocess.SubprocessError) as error:
        _tell(event="failed", step="start", said=str(error))
        return 1
    signal.signal(signal.SIGTERM, lambda *_: server.send_signal(signal.SIGINT))
    _tell(event="started", pid=server.pid)
    threading.Thread(target=_watch_users, args=(specification, server), daemon=True).start()
    code = server.wait()
    _tell(event="ended", code=code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
