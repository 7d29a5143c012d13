"""Hands events to whoever was named at construction.

A handler that fails never hurts the caller.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from taskforge_server.telemetry.events import Event

Handler = Callable[[Event], None]

_LOGGER: Final = logging.getLogger("taskforge.telemetry")


class Bus:
    """Publishes events to its handlers, in order, at once. Handlers must not block."""

    def __init__(self, handlers: Sequence[Handler] = ()) -> None:
        self._handlers = tuple(handlers)

    def publish(self, event: Event) -> None:
        """Hand `event` to every handler."""
        for handler in self._handlers:
            try:
                handler(event)
            except Exception:
                _LOGGER.exception("a handler of %s failed", type(event).__name__)
