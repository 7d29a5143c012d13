"""Structured log lines: one event a line, through structlog.

Quiet about what happens all the time.
"""

from __future__ import annotations

import logging
import sys
from typing import Final, TextIO

import attrs
import structlog

from taskforge_server.telemetry.events import (
    Event,
    LeadershipChanged,
    PartitionsChanged,
    ScheduleBroken,
    ServiceFailed,
    TableVacuumed,
)

_LEVELS: Final[dict[type[Event], str]] = {
    LeadershipChanged: "info",
    PartitionsChanged: "info",
    TableVacuumed: "info",
    ScheduleBroken: "error",
    ServiceFailed: "warning",
}
"""Which events are worth a line, and how loud; all others are counted only."""


def configure_logs(*, json: bool, level: str = "info", stream: TextIO | None = None) -> None:
    """Send our lines to `stream` (standard error), as JSON or for people to read.

    Args:
        json: one JSON object a line; else aligned words, coloured on a terminal.
        level: the quietest level shown: debug, info, warning or error.
        stream: where to.
    """
    target = stream or sys.stderr
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=target.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )


class LogHandler:
    """Writes the events that are worth a line."""

    def __init__(self) -> None:
        self._logger = structlog.get_logger("taskforge")

    def __call__(self, event: Event) -> None:
        """Write `event`, if it is one of those."""
        level = _LEVELS.get(type(event))
        if level is not None:
            fields = attrs.asdict(event)
            words = "".join(
                f" {letter.lower()}" if letter.isupper() else letter
                for letter in type(event).__name__
            ).strip()
            getattr(self._logger, level)(words, **fields)
