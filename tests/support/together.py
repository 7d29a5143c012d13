"""Does several things to one database at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.support.protocol import Protocol


def together(url: str, *works: Callable[[Protocol], object]) -> list[object]:
    """Do works at the same time, each on its own connection; raises what any raised."""
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[Protocol], object]) -> object:
        with Protocol.connect(url) as protocol:
            barrier.wait(10)
            return work(protocol)

    with ThreadPoolExecutor(len(works)) as executor:
        return list(executor.map(run, works))
