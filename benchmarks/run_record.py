"""What the tasks themselves note: which job ran, and when.

Used inside worker processes of every contender. A job costs two appends. A thread tells the parent
process how many ran; the list is written to a file when the worker ends.
"""

import os
import threading
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic_ns
from typing import Final, Protocol, Self

from attrs import frozen

RECORD_VARIABLE: Final = "BENCHMARK_RECORD"
TICK_SECONDS: Final = 0.02
RAN: Final = "ran"
_STDOUT: Final = 1


class Record(Protocol):
    """What a task notes its run in."""

    @property
    def count(self) -> int:
        """How many runs were noted."""
        ...

    def add(self, number: int) -> None:
        """Note that the job of this number runs now."""
        ...


class RunCount:
    """Counts runs and keeps nothing of them."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, number: int) -> None:  # noqa: ARG002 - as `RunRecord.add`
        """Count a run."""
        self.count += 1


class RunRecord:
    """Keeps the number and the time of every run."""

    __slots__ = ("_add_number", "_add_time", "numbers", "started_ns")

    def __init__(self) -> None:
        self.numbers = array("q")
        self.started_ns = array("q")
        # Looked up once: this runs inside what is measured.
        self._add_number = self.numbers.append
        self._add_time = self.started_ns.append

    @property
    def count(self) -> int:
        """How many runs were noted."""
        return len(self.numbers)

    def add(self, number: int) -> None:
        """Note that the job of this number runs now."""
        self._add_time(monotonic_ns())
        self._add_number(number)

    def write(self, path: Path) -> None:
        """Write everything to a file."""
        with path.open("wb") as file:
            self.numbers.tofile(file)
            self.started_ns.tofile(file)


@contextmanager
def open_record(environment: Mapping[str, str] = os.environ) -> Iterator[Record]:
    """Keep a record while the block runs and tell standard output of it; then write the file.

    Args:
        environment: `BENCHMARK_RECORD` names the file; without it runs are only counted.
    """
    path = environment.get(RECORD_VARIABLE)
    kept = RunRecord()
    record: Record = RunCount() if path is None else kept
    ended = threading.Event()
    ticker = threading.Thread(target=_tell, args=(record, ended), daemon=True)
    ticker.start()
    try:
        yield record
    finally:
        ended.set()
        ticker.join()
        if path is not None:
            kept.write(Path(path))


def _tell(record: Record, ended: threading.Event) -> None:
    told = 0
    is_last = False
    while not is_last:
        is_last = ended.wait(TICK_SECONDS)
        count = record.count
        if count != told:
            say(f"{RAN} {count}")
            told = count


def say(line: str) -> None:
    """Write one line to the parent process, whole even when several threads speak."""
    os.write(_STDOUT, f"{line}\n".encode())


@frozen(eq=False)
class Runs:
    """The runs that one or more worker processes noted: numbers, and times in the same order."""

    numbers: "array[int]"
    started_ns: "array[int]"

    @classmethod
    def read(cls, paths: list[Path]) -> Self:
        """Read what `RunRecord.write` wrote."""
        numbers, started_ns = array("q"), array("q")
        for path in paths:
            content = array("q")
            content.frombytes(path.read_bytes())
            half = len(content) // 2
            numbers += content[:half]
            started_ns += content[half:]
        return cls(numbers, started_ns)

    def first_start_ns(self) -> dict[int, int]:
        """Return when each job ran first."""
        first: dict[int, int] = {}
        for number, moment in zip(self.numbers, self.started_ns, strict=True):
            if moment < first.get(number, moment + 1):
                first[number] = moment
        return first

    def missing(self, expected: range) -> int:
        """Return how many of the expected numbers never ran."""
        return len(expected) - len(set(self.numbers).intersection(expected))

    def repeated(self) -> int:
        """Return how many runs were one too many."""
        return sum(times - 1 for times in Counter(self.numbers).values() if times > 1)
