"""The event loop of long-running commands: uvloop where it is there."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_on_event_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return what it gave."""
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop

    return uvloop.run(work)
