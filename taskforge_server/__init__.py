"""TaskForge for operators: storage, engine, HTTP face and command line."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskforge_server.storage.migrate import MigrationReport

__all__ = ["migrate"]


def migrate(url: str) -> "MigrationReport":
    """Bring the schema of the database at `url` up to date; safe when two processes race.

    Raises:
        SchemaTooNew: the database was migrated by a newer version.
        MigrationError: a migration failed; the database is as it was before it.
        DatabaseUnreachable: nobody answers there.
    """
    # Imported when it is needed, so that importing the package, as every command does, stays quick.
    from taskforge_server.storage.migrate import migrate as apply_migrations

    return apply_migrations(url)
