"""What the tasks themselves note: which job ran, and when.

Used inside worker processes of every contender. A job costs two appends. A thread tells the parent
process how many ran; the list is written to a file when the worker ends.
"""

import os
import threading
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from attrs import define, field, frozen

RECORD_VARIABLE: Final = "BENCHMARK_RECORD"
TICK_SECONDS: Final = 0.02
RAN: Final = "ran"
_STDOUT: Final = 1


@define(eq=False)
class RunRecord:
    """Counts runs; keeps their numbers and times too unless `count_only`."""

    count_only: bool = False
    count: int = 0
    numbers: "array[int]" = field(factory=lambda: array("q"))
    started_ns: "array[int]" = field(factory=lambda: array("q"))

    def add(self, number: int) -> None:
        """Note that the job of this number runs now."""
        self.count += 1
        if not self.count_only:
            self.numbers.append(number)
            self.started_ns.append(time.monotonic_ns())

    def write(self, path: Path) -> None:
        """Write everything to a file."""
        with path.open("wb") as file:
            self.numbers.tofile(file)
            self.started_ns.tofile(file)


@contextmanager
def open_record(environment: Mapping[str, str] = os.environ) -> Iterator[RunRecord]:
    """Keep a record while the block runs and tell standard output of it; then write the file.

    Args:
        environment: `BENCHMARK_RECORD` names the file; without it runs are only counted.
    """
    path = environment.get(RECORD_VARIABLE)
    record = RunRecord(count_only=path is None)
    ended = threading.Event()
    ticker = threading.Thread(target=_tell, args=(record, ended), daemon=True)
    ticker.start()
    try:
        yield record
    finally:
        ended.set()
        ticker.join()
        if path is not None:
            record.write(Path(path))


def _tell(record: RunRecord, ended: threading.Event) -> None:
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
