"""A child process's side of the conversation with the benchmark (see `benchmarks.crew`)."""

import asyncio
import sys

from benchmarks.crew import GO, READY, STOP
from benchmarks.run_record import say


def wait_for_go() -> bool:
    """Say that everything is ready and wait for the word; False when there will be none."""
    say(READY)
    return sys.stdin.readline().strip() == GO


def wait_for_stop() -> None:
    """Wait for the word to stop, or for the parent's end."""
    while sys.stdin.readline().strip() not in {STOP, ""}:
        pass


async def stop_told() -> None:
    """Wait for the word to stop without blocking the loop."""
    await asyncio.to_thread(wait_for_stop)
