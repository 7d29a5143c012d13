"""Takes the seconds of a block."""

import time
from types import TracebackType
from typing import Self


class Stopwatch:
    """``with Stopwatch() as watch: …`` and then `watch.seconds`."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._began
