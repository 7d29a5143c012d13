"""API keys in storage: only the hash of a secret is ever seen here."""

from datetime import timedelta
from typing import Final

from taskforge_client.wire.ids import encode_number
from taskforge_client.wire.keys import KeyView
from taskforge_server.storage.database import Database, Row, fetch_all, fetch_one
from taskforge_server.storage.errors import StorageError
from taskforge_server.storage.named import load_statements

_SQL: Final = load_statements("api_keys.sql")
KEY_PREFIX: Final = "key_"


async def create_key(
    database: Database, project: int, *, name: str, secret_hash: bytes, lifetime: timedelta | None
) -> KeyView:
    """Store a new key."""
    values = {"project": project, "name": name, "secret_hash": secret_hash, "lifetime": lifetime}
    row = await fetch_one(database, _SQL["create_key"], values)
    if row is None:
        raise StorageError("the database stored a key and did not answer with it")
    return _key(row)


async def list_keys(database: Database, project: int) -> list[KeyView]:
    """Return all keys of a project, the oldest first."""
    return [_key(row) for row in await fetch_all(database, _SQL["list_keys"], {"project": project})]


async def revoke_key(database: Database, project: int, key: int) -> bool:
    """End a key for good; False when there is no such key."""
    values = {"project": project, "key": key}
    return await fetch_one(database, _SQL["revoke_key"], values) is not None


async def check_key(database: Database, secret_hash: bytes) -> int | None:
    """Return the project that a valid key opens, None for any other."""
    row = await fetch_one(database, _SQL["check_key"], {"secret_hash": secret_hash})
    return None if row is None else int(row["project_id"])


def _key(row: Row) -> KeyView:
    return KeyView(
        id=encode_number(KEY_PREFIX, row["id"]),
        name=row["name"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )
