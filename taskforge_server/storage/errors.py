"""Errors of the storage layer, one tree.

- `StorageError`: the database, or the way to it, failed
    - `EmbeddedPostgresError`: the embedded PostgreSQL could not be made, started or stopped
        - `DataFolderError`: its folder is not ours, not usable, or of another major version
        - `PortInUseError`: the port asked for is taken
"""

from __future__ import annotations


class StorageError(Exception):
    """The database, or the way to it, failed."""


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
            f"the schema holds {newest}, which this version doesn't know; install the newer taskforge-server"
        )


class MigrationError(SchemaError):
    """A migration could not be applied; the database is as it was before it."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"migration {name}: {problem}")
        self.name = name
