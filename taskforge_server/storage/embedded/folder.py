"""The data folder of an embedded PostgreSQL: what lies in it, and who uses it.

    lock        taken while a server is being started or stopped; also marks the folder as ours
    guard.lock  held by the guard process as long as it lives
    users/      one locked file for each handle; the kernel unlocks it when its process dies
    password    of the superuser, readable by the folder's owner only
    state.json  the port of the last start
    start.log   what the programs said before the server's own log began
    cluster/    PostgreSQL's data folder, owned by the user the server runs as

It knows files and locks, nothing of processes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from attrs import define, frozen

from taskforge_server.storage.errors import DataFolderError

_MARKER = "lock"


@define(kw_only=True, eq=False, weakref_slot=True)
class HeldLock:
    """A file held locked by this process until `release`, or until the process dies."""

    path: Path
    descriptor: int

    def release(self, *, unlink: bool = False) -> None:
        """Let go, at most once; `unlink` takes the file away first."""
        if self.descriptor < 0:
            return
        if unlink:
            self.path.unlink(missing_ok=True)
        os.close(self.descriptor)
        self.descriptor = -1

    def forget_in_forks(self) -> None:
        """See that a forked child does not keep the lock alive after this process has died."""
        reference = weakref.ref(self)

        def close_in_child() -> None:
            held = reference()
            if held is not None:
                held.release()

        os.register_at_fork(after_in_child=close_in_child)


@frozen(kw_only=True)
class DataFolder:
    """Paths and locks of one data folder."""

    path: Path

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own data folder."""
        return self.path / "cluster"

    @property
    def new_cluster(self) -> Path:
        """Where `initdb` works; renamed to `cluster` when it is complete."""
        return self.path / "cluster.new"

    @property
    def users(self) -> Path:
        """Holds a locked file for every handle in use."""
        return self.path / "users"

    @property
    def start_log(self) -> Path:
        """What `postgres` said before its own log began."""
        return self.path / "start.log"

    @property
    def lock_path(self) -> Path:
        """The file whose lock serialises starts and stops."""
        return self.path / _MARKER

    @property
    def guard_lock_path(self) -> Path:
        """The file that a living guard holds locked."""
        return self.path / "guard.lock"

    def try_lock(self, path: Path) -> HeldLock | None:
        """Lock `path`, or return None when another process holds it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
                return None
            raise
        return HeldLock(path=path, descriptor=descriptor)

    def register_user(self) -> HeldLock:
        """Announce a handle; the caller holds `lock`. The file appears only when it is locked."""
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        held = self.try_lock(self.users / f".{name}")
        if held is None:
            raise DataFolderError(
                f"{self.users}: a file of a random name is locked by another process"
            )
        target = self.users / name
        held.path.rename(target)
        held.path = target
        held.forget_in_forks()
        return held

    def has_other_users(self, own: HeldLock) -> bool:
        """Whether another living handle exists; files of dead ones are taken away."""
        for path in self.users.iterdir():
            if path == own.path or path.name.startswith("."):
                continue
            held = self._lock_of_a_dead_user(path)
            if held is None:
                return True
            held.release(unlink=True)
        return False

    def _lock_of_a_dead_user(self, path: Path) -> HeldLock | None:
        """Look more than once, for the guard holds the file of a dead user for a moment too."""
        for _ in range(3):
            held = self.try_lock(path)
            if held is not None:
                return held
            time.sleep(0.003)
        return None

    def password(self) -> str:
        """The superuser's password, made at the first call."""
        path = self.path / "password"
        with contextlib.suppress(FileNotFoundError):
            known = path.read_text(encoding="ascii").strip()
            if known:
                return known
        made = secrets.token_urlsafe(24)
        _write_private(path, made + "\n")
        return made

    def last_port(self) -> int | None:
        """The port of the last start, so that a restarted server is found where it was."""
        try:
            port = json.loads((self.path / "state.json").read_text(encoding="utf-8"))["port"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return port if isinstance(port, int) else None

    def remember_port(self, port: int) -> None:
        """Keep the port for the next start."""
        _write_private(self.path / "state.json", json.dumps({"port": port}) + "\n")

    def cluster_major(self) -> int | None:
        """Major version of the data, or None when there is no cluster yet.

        Raises:
            DataFolderError: There is a cluster folder that holds no cluster.
        """
        if not self.cluster.exists():
            return None
        try:
            return int((self.cluster / "PG_VERSION").read_text(encoding="ascii").split(".")[0])
        except (OSError, ValueError) as error:
            raise DataFolderError(
                f"{self.cluster} is no PostgreSQL cluster (PG_VERSION cannot be read: {error}); "
                "move it away to start with an empty one"
            ) from error

    def prepare_new_cluster(self, uid: int | None, gid: int | None) -> None:
        """Make an empty place for `initdb`, removing what an interrupted one left."""
        if self.new_cluster.exists():
            shutil.rmtree(self.new_cluster)
        self.new_cluster.mkdir(mode=0o700)
        if uid is not None and gid is not None:
            os.chown(self.new_cluster, uid, gid)

    def empty_start_log(self) -> IO[bytes]:
        """Open the log of the coming start, without what the last one said."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(self.start_log, flags, 0o600), "ab")

    def recent_log(self, *, lines: int = 12) -> str:
        """The last lines of what the server said, for error messages."""
        logs = sorted(
            (path for path in self.cluster.glob("log/*.log") if not path.is_symlink()),
            key=lambda path: path.stat().st_mtime,
        )
        said: list[str] = []
        for path in (self.start_log, *logs[-1:]):
            with contextlib.suppress(OSError):
                said.extend(
                    path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
                )
        return "\n".join(said[-lines:])


def open_data_folder(path: Path) -> DataFolder:
    """Make the folder, private to its owner, or open one that is ours.

    Args:
        path: The folder; its parents are made too, existing ones are left as they are.

    Raises:
        DataFolderError: It holds something else, or cannot be made or written.
    """
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  keeps symlinks as the user wrote them
    with refusing_folder(absolute, whatever_it_is=True):
        absolute.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = os.listdir(absolute)  # noqa: PTH208  one reading, for the check to be atomic
        if names and _MARKER not in names:
            raise DataFolderError(
                f"{absolute} is not empty and was not made by the embedded PostgreSQL "
                f"(it holds {', '.join(sorted(names)[:3])}); name an empty or a new folder"
            )
        folder = DataFolder(path=absolute)
        os.close(os.open(folder.lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        folder.users.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextlib.contextmanager
def refusing_folder(path: Path, *, whatever_it_is: bool = False) -> Iterator[None]:
    """Turn an operating system's refusal into an error that says what to do.

    Args:
        path: The data folder.
        whatever_it_is: Also what is not certain to be about the folder's disk or rights.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            advice = "the disk is full; free some space and start again"
        elif error.errno in {errno.EACCES, errno.EPERM}:
            advice = "it belongs to another user or may not be written; name a folder of your own"
        elif error.errno == errno.EROFS:
            advice = "the file system is read-only; name another folder"
        elif whatever_it_is:
            advice = "name another folder"
        else:
            raise
        reason = error.strerror or str(error)
        raise DataFolderError(
            f"{path} cannot be used as data folder: {reason}: {advice}"
        ) from error


def _write_private(path: Path, text: str) -> None:
    passing = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    descriptor = os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    passing.rename(path)
