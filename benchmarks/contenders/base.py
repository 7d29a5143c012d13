"""What a benchmark asks of a system: install, send, run, tell when all is done."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol

from benchmarks.crew import Command
from benchmarks.database import Postgres

SendOne = Callable[[int], Awaitable[object]]


class System(Protocol):
    """One fresh installation."""

    @property
    def parts(self) -> dict[str, list[int]]:
        """Processes it needs beside PostgreSQL and workers, for `CpuMeter`."""
        ...

    @property
    def worker(self) -> Command:
        """How one worker process is started."""
        ...

    def enqueue_bulk(self, first: int, count: int) -> None:
        """Send jobs numbered from `first` in the fastest way for many."""
        ...

    def sender(self) -> AbstractAsyncContextManager[SendOne]:
        """A function that sends one job and comes back once it is stored."""
        ...

    def unfinished(self) -> int:
        """Return how many jobs are waiting, running or not yet recorded as done."""
        ...

    def analyse(self) -> None:
        """Vacuum and analyse its tables."""
        ...


class Contender(Protocol):
    """A system that may be installed or not.

    Attributes:
        name: As it is called.
        settings: Those that make it fastest, for the report.
        share: What part of the jobs it is given, so that slow ones end in time.
    """

    @property
    def name(self) -> str:
        """As it is called, with its version."""
        ...

    @property
    def settings(self) -> str:
        """What was set to make it fast."""
        ...

    @property
    def share(self) -> float:
        """What part of the jobs it is given."""
        ...

    def missing(self) -> str | None:
        """Return what must be installed first and how, None when nothing."""
        ...

    def install(self, postgres: Postgres) -> AbstractContextManager[System]:
        """A fresh installation, removed in the end."""
        ...
