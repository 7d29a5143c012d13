"""Counters of the whole installation."""

from taskforge_server.operations.caller import Caller
from taskforge_server.storage import overview


async def finished_total(caller: Caller) -> int:
    """Return a counter of ended attempts; only differences mean something."""
    return await overview.finished_total(caller.database)
