"""Decides between adopting the server of a data folder and starting one, and on which port.

Whoever calls holds the folder's lock, so nobody else starts or stops meanwhile.
"""

from __future__ import annotations

import re
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from attrs import frozen

from taskforge_server.storage.embedded.binaries import find_binaries
from taskforge_server.storage.embedded.folder import DataFolder, HeldLock
from taskforge_server.storage.embedded.identity import server_identity
from taskforge_server.storage.embedded.launch import SUPERUSER, Launch
from taskforge_server.storage.embedded.postmaster import (
    end_left_processes,
    read_postmaster_file,
    serves,
)
from taskforge_server.storage.embedded.progress import Reporter, StartPhase
from taskforge_server.storage.errors import DataFolderError, EmbeddedPostgresError, PortInUseError

HOST = "127.0.0.1"
DATABASE = "postgres"
PATIENCE_SECONDS = 10.0
"""How long each signal may take on a server that nobody guards."""

# Below the ports that the kernel hands out to outgoing connections: a client that keeps calling a
# stopped server on such a port can end up connected to itself, and the server never gets it back.
_FIRST_PORT, _LAST_PORT = 20_000, 32_767
_PORT_ATTEMPTS = 20
_BUSY = re.compile(r"too many clients already|connection slots are reserved")


@frozen(kw_only=True)
class Start:
    """One start of one data folder, whose lock the caller holds."""

    folder: DataFolder
    asked_port: int | None
    settings: dict[str, str]
    run_as: str | int | None
    binaries: Path | None
    health_seconds: float
    reporter: Reporter

    def run(self) -> tuple[int, bool]:
        """The port, and whether the server ran already."""
        guard_lock = self._adoptable_or_free()
        if isinstance(guard_lock, int):
            if self.asked_port not in {None, guard_lock}:
                raise EmbeddedPostgresError(
                    f"port: the PostgreSQL of {self.folder.path} already runs, on port "
                    f"{guard_lock}; ask for that one or for none"
                )
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
            elif time.monotonic() - ready_since > self.health_seconds:
                self._end_unhealthy(noted.pid)
                ready_since = None
            self.reporter.tell(StartPhase.WAITING)
            time.sleep(0.02)

    def _end_unhealthy(self, pid: int) -> None:
        if not serves(pid, self.folder.cluster):
            raise DataFolderError(
                f"{self.folder.path} is in use by a server that does not run here "
                "(in another container or on another machine): stop it there, or name another one"
            )
        end_left_processes(self.folder.cluster, patience_seconds=PATIENCE_SECONDS)

    def _answers(self, port: int) -> bool:
        """Whether a login works, or fails only because the server is busy with others."""
        try:
            with psycopg.connect(
                host=HOST,
                port=port,
                user=SUPERUSER,
                password=self.folder.password(),
                dbname=DATABASE,
                connect_timeout=2,
            ) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.Error as error:
            return _BUSY.search(str(error)) is not None

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
            launch = Launch(
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
                        f"the embedded PostgreSQL of {self.folder.path} started but refuses our "
                        f"login; it says:\n{self.folder.recent_log()}"
                    )
                self.folder.remember_port(candidate)
                return candidate
            if _is_free(candidate):
                raise failure
            # Somebody took the port between our look and the server's.
        raise EmbeddedPostgresError(
            f"no free TCP port was found on {HOST} in {_PORT_ATTEMPTS} attempts"
        )

    def _clear_leftovers(self) -> None:
        """End a server whose guard is gone, and forget the pid file of one that is gone itself."""
        if not end_left_processes(self.folder.cluster, patience_seconds=PATIENCE_SECONDS):
            raise EmbeddedPostgresError(
                f"a left-over PostgreSQL of {self.folder.path} does not end; stop it by hand"
            )
        # Else PostgreSQL refuses when the number in it belongs to another process by now.
        (self.folder.cluster / "postmaster.pid").unlink(missing_ok=True)

    def _ports(self) -> Iterator[int]:
        if self.asked_port is not None:
            if not _is_free(self.asked_port):
                raise PortInUseError(
                    f"port: {self.asked_port} on {HOST} is taken by another program; "
                    "name another, or none to have a free one chosen"
                )
            yield self.asked_port
            raise PortInUseError(
                f"port: {self.asked_port} on {HOST} was taken meanwhile; start again"
            )
        last = self.folder.last_port()
        if last is not None and _is_free(last):
            yield last
        for _ in range(_PORT_ATTEMPTS):
            candidate = _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT + 1)
            if _is_free(candidate):
                yield candidate


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True
