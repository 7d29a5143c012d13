"""On whose behalf a verb is carried out, and with what."""

from typing import Final

from attrs import frozen

from taskforge_client.transport.base import Transport
from taskforge_server.storage.database import Database

DEFAULT_PROJECT: Final = 1


@frozen(kw_only=True)
class Caller:
    """A project's door: its number, the database, and the road by which jobs are sent.

    `transport` is the client's own direct road, so that jobs sent over any interface share its
    batches, its limits and its errors.
    """

    database: Database
    transport: Transport
    project: int = DEFAULT_PROJECT
