"""A page of memory that a worker process shares with its parent.

It tells each about the other what no message could while the interpreter is held. The worker writes
when its loop last turned and by when what it runs must have ended; both write how long the lease
lasts. All times are monotonic seconds, which processes of one machine share.
"""

import mmap
import os
import sys
import tempfile
from typing import Final, Protocol, Self

_BYTES: Final = 4096
_WORKER: Final = 0
_LEASE_UNTIL: Final = 1
_LOOP_TURNED_AT: Final = 2
STEP: Final = 3
THREADS: Final = 4
_LEASE_SECONDS: Final = 5
_FIELDS: Final = 6

NEVER: Final = float("inf")


class Fields(Protocol):
    """A row of numbers."""

    def __getitem__(self, place: int, /) -> float: ...
    def __setitem__(self, place: int, value: float, /) -> None: ...


class Board:
    """The page. Each field is one aligned double, written whole."""

    def __init__(self, fields: Fields) -> None:
        self.fields = fields

    @classmethod
    def alone(cls) -> Self:
        """Return a board that nobody else reads."""
        return cls(_cleared([0.0] * _FIELDS))

    @classmethod
    def create(cls) -> tuple[Self, int]:
        """Return a new board and the file descriptor by which a child process opens it."""
        if sys.platform == "linux":
            descriptor = os.memfd_create("taskforge-board")
        else:
            descriptor, path = tempfile.mkstemp(prefix="taskforge-board")
            os.unlink(path)  # noqa: PTH108 - the descriptor keeps it
        os.ftruncate(descriptor, _BYTES)
        board = cls.opened(descriptor)
        _cleared(board.fields)
        return board, descriptor

    @classmethod
    def opened(cls, descriptor: int) -> Self:
        """Return the board behind a file descriptor."""
        return cls(memoryview(mmap.mmap(descriptor, _BYTES)).cast("d"))

    @property
    def worker(self) -> int:
        """The number of the lease in force, 0 for none."""
        return int(self.fields[_WORKER])

    @property
    def lease_until(self) -> float:
        """How long the lease lasts as far as anybody knows who renews it."""
        return self.fields[_LEASE_UNTIL]

    @property
    def loop_turned_at(self) -> float:
        """When the worker's event loop last turned."""
        return self.fields[_LOOP_TURNED_AT]

    @property
    def lease_seconds(self) -> float:
        """How long a lease lasts from when it is renewed."""
        return self.fields[_LEASE_SECONDS]

    def take_lease(self, worker: int, lease_seconds: float, lease_until: float) -> None:
        """Show a new lease."""
        self.fields[_LEASE_SECONDS] = lease_seconds
        self.fields[_LEASE_UNTIL] = lease_until
        self.fields[_WORKER] = worker

    def drop_lease(self) -> None:
        """Show that no lease is held."""
        self.fields[_WORKER] = 0

    def renewed(self, lease_until: float) -> None:
        """Show that the lease lasts longer."""
        self.fields[_LEASE_UNTIL] = max(lease_until, self.fields[_LEASE_UNTIL])

    def loop_turned(self, now: float) -> None:
        """Show that the loop turns."""
        self.fields[_LOOP_TURNED_AT] = now

    def blocking_deadline(self) -> float:
        """Return by when what can hold the interpreter must have ended.

        That is the attempt whose code the loop runs at this moment, and what runs in threads; an
        attempt that awaits something blocks nobody.
        """
        return min(self.fields[STEP], self.fields[THREADS])


def _cleared(fields: Fields) -> Fields:
    for place in range(_FIELDS):
        fields[place] = 0.0
    fields[STEP] = fields[THREADS] = NEVER
    return fields
