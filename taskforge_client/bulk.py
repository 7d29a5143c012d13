"""Sending many: a stream of invocations in chunks, its answers added up without an object a job."""

from array import array
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, Final, overload

from attrs import define, field, frozen

from taskforge_client.task import Invocation
from taskforge_client.transport.base import EnqueuedBatch, OutgoingJob
from taskforge_client.wire.ids import job_id, job_number
from taskforge_client.wire.jobs import Enqueued
from taskforge_client.wire.problems import Problem

CHUNK_JOBS: Final = 2_000
CHUNK_BYTES: Final = 4 * 1024 * 1024
FAILURES_KEPT: Final = 100


@frozen
class BulkFailure:
    """One job of a bulk send that was refused: its position in the stream, and why."""

    position: int
    problem: Problem


class JobIds(Sequence[str]):
    """Public ids made when they are looked at; eight bytes a job until then."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = numbers

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "JobIds": ...
    def __getitem__(self, index: int | slice) -> "str | JobIds":
        if isinstance(index, slice):
            return JobIds(self._numbers[index])
        return job_id(self._numbers[index])

    def __len__(self) -> int:
        return len(self._numbers)

    def __repr__(self) -> str:
        return f"JobIds({len(self)})"


@define(eq=False)
class BulkReceipt:
    """What became of a bulk send.

    `count` jobs in all, of which some stood there before and some were refused.

    `failures` holds the first hundred refusals. `ids` are those of the stored jobs, in the order
    sent.
    """

    count: int = 0
    deduplicated: int = 0
    failed: int = 0
    failures: list[BulkFailure] = field(factory=list)
    _numbers: "array[int]" = field(factory=lambda: array("q"), repr=False)

    @property
    def ids(self) -> JobIds:
        """The ids of the jobs that are stored, in the order sent."""
        return JobIds(self._numbers)

    @property
    def stored(self) -> int:
        """How many jobs are stored, by this call or before it."""
        return self.count - self.failed

    def add(self, _sent: Sequence[OutgoingJob], answers: Sequence[Enqueued | Problem]) -> None:
        """Take in the answers to one chunk."""
        if isinstance(answers, EnqueuedBatch) and not answers.problems:
            self.count += len(answers)
            self.deduplicated += len(answers.deduplicated)
            self._numbers.extend(answers.numbers)
            return
        for answer in answers:
            self._add_one(answer)

    def _add_one(self, answer: Enqueued | Problem) -> None:
        position = self.count
        self.count += 1
        if isinstance(answer, Problem):
            self.failed += 1
            if len(self.failures) < FAILURES_KEPT:
                self.failures.append(BulkFailure(position, answer))
            return
        self.deduplicated += answer.deduplicated
        self._numbers.append(job_number(answer.id))


def chunks_of(invocations: Iterable[Invocation[Any]]) -> Iterator[list[OutgoingJob]]:
    """Yield encoded jobs in chunks of at most 2,000 jobs and about 4 MiB."""
    chunk: list[OutgoingJob] = []
    size = 0
    for invocation in invocations:
        job = invocation.encode()
        chunk.append(job)
        size += len(job.payload)
        if len(chunk) >= CHUNK_JOBS or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


async def achunks_of(
    invocations: Iterable[Invocation[Any]] | AsyncIterable[Invocation[Any]],
) -> AsyncIterator[list[OutgoingJob]]:
    """Yield encoded jobs in chunks, as `chunks_of`, from an iterable of either kind."""
    if not isinstance(invocations, AsyncIterable):
        for chunk in chunks_of(invocations):
            yield chunk
        return
    chunk = []
    size = 0
    async for invocation in invocations:
        job = invocation.encode()
        chunk.append(job)
        size += len(job.payload)
        if len(chunk) >= CHUNK_JOBS or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
