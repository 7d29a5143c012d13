"""Errors of the storage layer.

    StorageError
    └── EmbeddedPostgresError
        ├── DataFolderError      the folder is not ours, not usable, or of another major version
        └── PortInUseError       the asked port is taken
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
