"""Errors of the storage layer, one tree, and the translation of psycopg's errors into it.

- `StorageError`: the database, or the way to it, failed
    - `DatabaseUnreachable`: nobody answered, the connection broke or the server is going down
    - `Busy`: a deadlock, a serialization failure or a lock that did not come in time; the same
      again may work
    - `QueryTimeout`: a statement took longer than it may
    - `RefusedByDatabase`: a rule of the schema was broken, in words for the caller
        - `InvalidValue`, `NoSuchRow`, `KeyTaken`, `WrongState`
    - `EmbeddedPostgresError`: the embedded PostgreSQL could not be made, started or stopped
        - `DataFolderError`: its folder is not ours, not usable, or of another major version
        - `PortInUseError`: the port asked for is taken
"""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import errors as psycopg_errors
from psycopg_pool import PoolTimeout, TooManyRequests


class StorageError(Exception):
    """The database, or the way to it, failed."""


class DatabaseUnreachable(StorageError):
    """The database can't be reached; what was in flight may or may not have been carried out."""


class Busy(StorageError):
    """The database gave way to another transaction; the same again may work."""


class QueryTimeout(StorageError):
    """A statement took longer than it may."""


class RefusedByDatabase(StorageError):
    """The schema refused what was asked for; the message is for the caller."""


class InvalidValue(RefusedByDatabase):
    """A value is outside what the schema takes."""


class NoSuchRow(RefusedByDatabase):
    """What was named does not exist."""


class KeyTaken(RefusedByDatabase):
    """A key names another request, or a lease is not held."""


class WrongState(RefusedByDatabase):
    """The job's state does not allow it."""


class EmbeddedPostgresError(StorageError):
    """The embedded PostgreSQL could not be made, started or stopped."""


class DataFolderError(EmbeddedPostgresError):
    """The data folder of the embedded PostgreSQL cannot be used."""


class PortInUseError(EmbeddedPostgresError):
    """The port asked for is taken by another program."""


class SchemaError(StorageError):
    """The database's schema is not the one this version works with."""


class SchemaTooOld(SchemaError):
    """The database lacks migrations."""

    def __init__(self, first: str, count: int) -> None:
        super().__init__(
            f"the schema lacks {count} migration(s), the first is {first}; run `taskforge migrate`"
        )


class SchemaTooNew(SchemaError):
    """The database was migrated by a newer version."""

    def __init__(self, newest: str) -> None:
        super().__init__(
            f"the schema holds {newest}, which this version doesn't know; "
            "install the newer taskforge-server"
        )


class MigrationError(SchemaError):
    """A migration could not be applied; the database is as it was before it."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"migration {name}: {problem}")
        self.name = name


_REFUSALS: Final[dict[str, type[RefusedByDatabase]]] = {
    "TF404": NoSuchRow,
    "TF409": KeyTaken,
    "TF410": WrongState,
    "TF422": InvalidValue,
}
_BUSY: Final = (
    psycopg_errors.DeadlockDetected,
    psycopg_errors.SerializationFailure,
    psycopg_errors.LockNotAvailable,
)
_LOST_PREPARED: Final = (
    psycopg_errors.DuplicatePreparedStatement,
    psycopg_errors.InvalidSqlStatementName,
)
_GONE: Final = (
    psycopg_errors.AdminShutdown,
    psycopg_errors.CrashShutdown,
    psycopg_errors.CannotConnectNow,
    psycopg_errors.TooManyConnections,
)


def translate(error: psycopg.Error) -> StorageError:
    """Return the error of this tree that stands for one of psycopg's."""
    message = error.diag.message_primary or str(error).strip() or type(error).__name__
    refusal = _REFUSALS.get(error.sqlstate or "")
    if refusal is not None:
        return refusal(message)
    if isinstance(error, psycopg_errors.QueryCanceled):
        return QueryTimeout(message)
    if isinstance(error, (*_BUSY, *_LOST_PREPARED)):
        return Busy(message)
    if isinstance(error, (*_GONE, PoolTimeout, TooManyRequests)):
        return DatabaseUnreachable(message)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and (
        error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))
    ):
        return DatabaseUnreachable(message)
    return StorageError(f"{type(error).__name__}: {message}")


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed when it is made again."""
    if isinstance(error, psycopg.Error):
        error = translate(error)
    return isinstance(error, DatabaseUnreachable | Busy)


def lost_prepared_statement(error: BaseException) -> bool:
    """Whether a pooler handed out a session without our prepared statements."""
    return isinstance(error, _LOST_PREPARED)
