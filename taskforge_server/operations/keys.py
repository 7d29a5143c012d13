"""API keys: create, list, revoke, and tell whose a secret is."""

import hashlib
import secrets
from datetime import timedelta
from typing import Final

from taskforge_client.errors import InvalidRequest
from taskforge_client.wire.ids import decode_number
from taskforge_client.wire.keys import KeyCreated, KeyView
from taskforge_client.wire.problems import MalformedValue
from taskforge_server.operations.caller import Caller
from taskforge_server.operations.names import nothing_named
from taskforge_server.storage import api_keys
from taskforge_server.storage.database import Database

SECRET_PREFIX: Final = "tfk_"  # noqa: S105  # what every secret begins with, no secret
_SECRET_BYTES: Final = 32
_LONGEST_NAME: Final = 100


async def create(caller: Caller, name: str, *, lifetime_seconds: float | None = None) -> KeyCreated:
    """Make a key; its secret is in the answer and nowhere else."""
    if not 1 <= len(name) <= _LONGEST_NAME:
        raise InvalidRequest.because(
            "name", f"it has {len(name)} characters", f"1 to {_LONGEST_NAME}"
        )
    secret = SECRET_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    lifetime = None if lifetime_seconds is None else timedelta(seconds=lifetime_seconds)
    key = await api_keys.create_key(
        caller.database,
        caller.project,
        name=name,
        secret_hash=hash_secret(secret),
        lifetime=lifetime,
    )
    return KeyCreated(key=key, secret=secret)


async def list_keys(caller: Caller) -> list[KeyView]:
    """Return the project's keys, without their secrets."""
    return await api_keys.list_keys(caller.database, caller.project)


async def revoke(caller: Caller, identifier: str) -> None:
    """End a key for good; servers forget it within seconds. Raises `NotFound`."""
    try:
        number = decode_number(api_keys.KEY_PREFIX, identifier)
    except MalformedValue as error:
        raise InvalidRequest(error.as_problem()) from None
    if not await api_keys.revoke_key(caller.database, caller.project, number):
        raise nothing_named("key", identifier, [key.id for key in await list_keys(caller)])


async def project_of(database: Database, secret: str) -> int | None:
    """Return the project that a secret opens, None when it opens nothing."""
    return await api_keys.check_key(database, hash_secret(secret))


def hash_secret(secret: str) -> bytes:
    """Return what is kept of a secret. 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).digest()
