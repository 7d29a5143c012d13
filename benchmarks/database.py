"""The PostgreSQL that a benchmark runs on, and fresh databases on it.

Without `TASKFORGE_DATABASE_URL` it is an embedded server with durable settings, in the temporary
folder (`TMPDIR` moves it). With it, it is that server, whose settings are left as they are.
"""

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil
import psycopg
from attrs import frozen
from psycopg import sql

from benchmarks.figures import Figure
from benchmarks.machine import filesystem_of
from taskforge_server.storage.embedded import start_embedded

_MIB: Final = 2**20
_LARGEST_BUFFERS_MIB: Final = 1024
_SHOWN: Final = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "autovacuum",
)


@frozen(kw_only=True)
class Postgres:
    """A running server.

    Attributes:
        url: Of a database from which others can be made.
        postmaster_pid: Its main process; None when it runs elsewhere, so that its CPU is unknown.
        description: Version and settings, for the report.
    """

    url: str
    postmaster_pid: int | None
    description: dict[str, Figure]

    @property
    def parts(self) -> dict[str, list[int]]:
        """The server as a part for `CpuMeter`; none when it runs elsewhere."""
        return {} if self.postmaster_pid is None else {"postgres": [self.postmaster_pid]}

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        """The URL of an empty database, dropped in the end."""
        name = f"taskforge_benchmark_{secrets.token_hex(4)}"
        with connect(self.url) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        try:
            yield urlsplit(self.url)._replace(path=f"/{name}").geturl()
        finally:
            with connect(self.url) as connection:
                connection.execute(
                    sql.SQL("drop database {} with (force)").format(sql.Identifier(name))
                )

    def settle(self) -> None:
        """Write out what is dirty, so that no checkpoint of an earlier run falls into the next."""
        with connect(self.url) as connection:
            connection.execute("checkpoint")


def connect(url: str) -> psycopg.Connection:
    """Return a connection that commits each statement."""
    return psycopg.connect(url, autocommit=True, application_name="taskforge benchmark")


def vacuum_analyze(url: str) -> None:
    """Vacuum and analyse a whole database."""
    with connect(url) as connection:
        connection.execute("vacuum (analyze)")


@contextmanager
def open_postgres() -> Iterator[Postgres]:
    """The server to measure on."""
    with ExitStack() as stack:
        url = os.environ.get("TASKFORGE_DATABASE_URL", "")
        place: dict[str, Figure] = {"postgres": "TASKFORGE_DATABASE_URL"}
        pid = None
        if not url:
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(
                    prefix="taskforge-benchmark-", ignore_cleanup_errors=True
                )
            )
            Path(folder).chmod(0o755)  # the server may run as another user
            server = stack.enter_context(
                start_embedded(Path(folder) / "postgresql", settings=embedded_settings())
            )
            url, pid = server.url, server.postmaster_pid
            place = {"postgres": "embedded", "filesystem": filesystem_of(Path(folder))}
        with connect(url) as connection:
            settings = {name: str(_value(connection, f"show {name}")) for name in _SHOWN}
            if pid is None:
                pid = local_postmaster(connection.info.backend_pid)
        yield Postgres(url=url, postmaster_pid=pid, description={**place, **settings})


def embedded_settings() -> dict[str, str]:
    """Return settings fit for a machine that does little else; nothing that weakens durability."""
    quarter_mib = psutil.virtual_memory().total // 4 // _MIB
    return {
        "shared_buffers": f"{min(quarter_mib, _LARGEST_BUFFERS_MIB)}MB",
        "max_wal_size": "8GB",
        "max_connections": "200",
    }


def local_postmaster(backend_pid: int) -> int | None:
    """Return the postmaster's process id where that backend is a process of this machine."""
    try:
        backend = psutil.Process(backend_pid)
        parent = backend.parent()
    except psutil.Error:
        return None
    if parent is None or not backend.name().startswith("postgres"):
        return None
    return parent.pid


def _value(connection: psycopg.Connection, statement: str) -> object:
    row = connection.execute(statement.encode()).fetchone()
    if row is None:
        raise LookupError(statement)
    return row[0]
