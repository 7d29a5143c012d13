"""Brings a database's schema to what this version needs, one numbered file at a time, forward only.

Each file runs in a transaction of its own together with its line in the ledger, under an advisory
lock that ends with the transaction: processes that race apply every file once, and one that dies
half-way leaves a whole number of files. A file's name tells its phase: `expand` may run before the
new code is there, `contract` only when the old is gone.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Final

import psycopg
from attrs import frozen

from taskforge_server.storage.errors import (
    MigrationError,
    SchemaTooNew,
    SchemaTooOld,
    translate,
)

_LOCK: Final = 7_268_430_000
_FILE_NAME: Final = re.compile(
    r"(?P<number>\d{4})_(?P<phase>expand|contract)_(?P<words>[a-z0-9_]+)\.sql"
)


@frozen(kw_only=True)
class Migration:
    """One numbered step: its file's name and text."""

    number: int
    phase: str
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the text, kept in the ledger so that a later edit is noticed."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@frozen(kw_only=True)
class MigrationReport:
    """What a run did: the names applied now, and how many the ledger holds."""

    applied: tuple[str, ...]
    total: int


def packaged_migrations() -> tuple[Migration, ...]:
    """Return this version's migrations in order."""
    found = []
    for entry in resources.files("taskforge_server.storage").joinpath("migrations").iterdir():
        match = _FILE_NAME.fullmatch(entry.name)
        if match is not None:
            found.append(
                Migration(
                    number=int(match["number"]),
                    phase=match["phase"],
                    name=entry.name.removesuffix(".sql"),
                    text=entry.read_text(encoding="utf-8"),
                )
            )
    found.sort(key=lambda migration: migration.number)
    return tuple(found)


def migrate(url: str, migrations: Sequence[Migration] | None = None) -> MigrationReport:
    """Apply what the database at `url` lacks.

    Raises:
        SchemaTooNew: the ledger holds numbers this version doesn't know.
        MigrationError: a file failed, or an applied one was edited since.
    """
    wanted = packaged_migrations() if migrations is None else tuple(migrations)
    with _connected(url) as connection:
        _ensure_ledger(connection)
        applied = [migration.name for migration in wanted if _apply(connection, migration)]
        _refuse_unknown(_ledger(connection), wanted)
    return MigrationReport(applied=tuple(applied), total=len(wanted))


def pending(url: str) -> tuple[Migration, ...]:
    """Return the migrations that `migrate` would apply, in order, changing nothing."""
    with _connected(url) as connection:
        ledger = _ledger(connection)
    wanted = packaged_migrations()
    _refuse_unknown(ledger, wanted)
    return tuple(migration for migration in wanted if migration.number not in ledger)


def check_schema(url: str) -> None:
    """Raise `SchemaTooOld` or `SchemaTooNew` unless the database fits this version."""
    missing = pending(url)
    if missing:
        raise SchemaTooOld(missing[0].name, len(missing))


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection]:
    """Lend a connection; what the database says comes out as errors of ours."""
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection
    except psycopg.Error as error:
        raise translate(error) from error


def _ensure_ledger(connection: psycopg.Connection) -> None:
    with connection.transaction():
        _lock(connection)
        connection.execute("create schema if not exists taskforge")
        connection.execute(
            "create table if not exists taskforge.migration ("
            " number int primary key, name text not null, checksum text not null,"
            " applied_at timestamptz not null default now())"
        )


def _lock(connection: psycopg.Connection) -> None:
    connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))


def _ledger(connection: psycopg.Connection) -> dict[int, tuple[str, str]]:
    if connection.execute("select to_regclass('taskforge.migration')").fetchone() == (None,):
        return {}
    rows = connection.execute("select number, name, checksum from taskforge.migration").fetchall()
    return {number: (name, checksum) for number, name, checksum in rows}


def _apply(connection: psycopg.Connection, migration: Migration) -> bool:
    with connection.transaction():
        _lock(connection)
        known = _ledger(connection).get(migration.number)
        if known is not None:
            if known[1] != migration.checksum:
                raise MigrationError(
                    migration.name,
                    "it was edited after it had been applied; add a new file instead",
                )
            return False
        try:
            # The text is this package's own, never a user's.
            connection.execute(migration.text.encode())
        except psycopg.Error as error:
            raise MigrationError(migration.name, str(error)) from error
        connection.execute(
            "insert into taskforge.migration (number, name, checksum) values (%s, %s, %s)",
            (migration.number, migration.name, migration.checksum),
        )
    return True


def _refuse_unknown(ledger: dict[int, tuple[str, str]], wanted: Sequence[Migration]) -> None:
    newest = max((migration.number for migration in wanted), default=0)
    unknown = sorted(number for number in ledger if number > newest)
    if unknown:
        raise SchemaTooNew(ledger[unknown[-1]][0])
