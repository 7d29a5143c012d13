"""Stores jobs: one statement for many small sends, binary COPY for large ones.

Every job's number is known before it is sent, so a send whose answer was lost is repeated by
asking which numbers are stored: nothing is stored twice and nothing acknowledged is lost.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar, cast

import psycopg
from attrs import frozen
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay
from tenacity.wait import wait_random_exponential

from taskforge_client.errors import InvalidRequest, Refused, Unreachable
from taskforge_client.transport.base import EnqueuedBatch, OutgoingJob
from taskforge_client.transport.postgres.arrays import (
    ByteaArray,
    Int2Array,
    Int4Array,
    Int8Array,
    JsonbArray,
    TextArray,
)
from taskforge_client.transport.postgres.copying import CopyBatch
from taskforge_client.transport.postgres.directory import Directory
from taskforge_client.transport.postgres.link import AsyncLink, Link
from taskforge_client.transport.postgres.numbers import NumberMint
from taskforge_client.transport.postgres.prepared import PreparedOptions
from taskforge_client.transport.postgres.refusals import (
    REFUSALS,
    is_missing_partition,
    refusal,
    translate,
)
from taskforge_client.transport.postgres.statements import (
    ENQUEUE_EACH,
    ENQUEUE_PLAIN,
    ENSURE_PARTITIONS,
    RESERVE,
    STORED,
)
from taskforge_client.wire.ids import BLOCK_SIZE
from taskforge_client.wire.problems import Problem

R = TypeVar("R")
Answer = tuple[int, bool] | Refused

RETRY_SECONDS: Final = 30.0
_COPY_FROM: Final = 500
_WAIT_LONGEST_SECONDS: Final = 2.0


@frozen
class Chosen:
    """Some of the jobs of a send, with their prepared options."""

    jobs: list[OutgoingJob]
    options: list[PreparedOptions]

    @classmethod
    def of(
        cls, jobs: Sequence[OutgoingJob], prepared: Sequence[PreparedOptions | Refused]
    ) -> tuple["Chosen", "Chosen"]:
        """Return the jobs COPY may carry and those that use a feature; leave out the refused."""
        plain, featured = cls([], []), cls([], [])
        for job, options in zip(jobs, prepared, strict=True):
            if not isinstance(options, Refused):
                chosen = plain if options.copyable else featured
                chosen.jobs.append(job)
                chosen.options.append(options)
        return plain, featured


class Sender:
    """Stores jobs over one link."""

    def __init__(
        self, link: Link, directory: Directory, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        self._link = link
        self._directory = directory
        self._retry_seconds = retry_seconds
        self._mint = NumberMint()

    async def send(self, jobs: Sequence[OutgoingJob]) -> tuple[EnqueuedBatch, set[int]]:
        """Store `jobs` durably; also return the queues in which something is ready now.

        Raises:
            Unreachable: the database could not be reached for `retry_seconds`.
        """
        prepared = self._directory.prepared_before(jobs)
        if prepared is None:
            prepared = await self._patiently(lambda link: self._prepare_all(link, jobs))
        rung: set[int] = set()
        # Jobs sent alike share their options, so a set of them is small.
        if all(isinstance(kind, PreparedOptions) and kind.copyable for kind in set(prepared)):
            alike = cast("Sequence[PreparedOptions]", prepared)
            return EnqueuedBatch(await self._send_plain(jobs, alike, rung)), rung
        plain, featured = Chosen.of(jobs, prepared)
        numbers = await self._send_plain(plain.jobs, plain.options, rung) if plain.jobs else []
        others = await self._send_each(featured) if featured.jobs else []
        rung.update(options.queue for options in featured.options)
        return _merged(prepared, numbers, others), rung

    async def send_within(self, connection: AsyncLink, jobs: Sequence[OutgoingJob]) -> set[int]:
        """Store `jobs` in the transaction that is open on `connection`.

        Return the queues to ring after its commit.

        Raises:
            Refused: one of them is refused; the transaction should not be committed.
        """
        project = await self._directory.project(connection)
        options = [await self._directory.prepare(connection, job) for job in jobs]
        numbers = await self._mint.mint(connection, len(jobs))
        cursor = await connection.execute(
            ENQUEUE_EACH,
            (project, *columns(jobs, options, numbers), features_of(options)),
            binary=True,
        )
        for row in sorted(await cursor.fetchall()):
            answer = answer_of(*row[1:])
            if isinstance(answer, Refused):
                raise answer
        return {one.queue for one in options}

    async def _prepare_all(
        self, connection: AsyncLink, jobs: Sequence[OutgoingJob]
    ) -> list[PreparedOptions | Refused]:
        prepared: list[PreparedOptions | Refused] = []
        for job in jobs:
            try:
                prepared.append(await self._directory.prepare(connection, job))
            except InvalidRequest as error:
                prepared.append(error)
            except psycopg.DatabaseError as error:
                refused = translate(error)
                if not isinstance(refused, Refused):
                    raise
                prepared.append(refused)
        return prepared

    async def _send_plain(
        self, jobs: Sequence[OutgoingJob], options: Sequence[PreparedOptions], rung: set[int]
    ) -> list[int]:
        simple = len(jobs) < _COPY_FROM and all(one.features is None for one in options)
        write = self._insert if simple else self._copy
        numbers: list[int] = []

        async def attempt(connection: AsyncLink) -> None:
            if numbers and await _stand(connection, numbers, jobs[0]):
                return
            rung.update(await write(connection, jobs, options, numbers))

        await self._patiently(attempt)
        return numbers

    async def _insert(
        self,
        connection: AsyncLink,
        jobs: Sequence[OutgoingJob],
        options: Sequence[PreparedOptions],
        numbers: list[int],
    ) -> set[int]:
        if not numbers:
            numbers.extend(await self._mint.mint(connection, len(jobs)))
        project = await self._directory.project(connection)
        await connection.execute(
            ENQUEUE_PLAIN, (project, *columns(jobs, options, numbers)), prepare=True, binary=True
        )
        return {one.queue for one in options}

    async def _copy(
        self,
        connection: AsyncLink,
        jobs: Sequence[OutgoingJob],
        options: Sequence[PreparedOptions],
        numbers: list[int],
    ) -> set[int]:
        blocks = -(-len(jobs) // BLOCK_SIZE)
        cursor = connection.cursor(binary=True)
        await cursor.execute(RESERVE, (blocks,), prepare=True)
        rows = await cursor.fetchall()
        if not numbers:
            for base, _ in rows:
                numbers.extend(range(base, base + min(BLOCK_SIZE, len(jobs) - len(numbers))))
        batch = CopyBatch(rows[0][1])
        batch.add(numbers, jobs, options)
        await batch.write(connection)
        return batch.ready_queues

    async def _send_each(self, chosen: "Chosen") -> list[Answer]:
        numbers: list[int] = []

        async def attempt(connection: AsyncLink) -> list[Answer]:
            if not numbers:
                numbers.extend(await self._mint.mint(connection, len(chosen.jobs)))
            project = await self._directory.project(connection)
            cursor = await connection.execute(
                ENQUEUE_EACH,
                (
                    project,
                    *columns(chosen.jobs, chosen.options, numbers),
                    features_of(chosen.options),
                ),
                prepare=True,
                binary=True,
            )
            rows = sorted(await cursor.fetchall())
            return [answer_of(*row[1:]) for row in rows]

        return await self._patiently(attempt)

    async def _patiently(self, work: Callable[[AsyncLink], Awaitable[R]]) -> R:
        """Run `work`, again while the database is away; missing partitions are made once."""

        async def careful(connection: AsyncLink) -> R:
            try:
                return await work(connection)
            except psycopg.errors.CheckViolation as error:
                if not is_missing_partition(error):
                    raise
                await connection.execute(ENSURE_PARTITIONS)
                return await work(connection)
            except psycopg.errors.UniqueViolation as error:
                # Our own earlier call had not ended when it was looked for.
                raise Unreachable(str(error)) from error

        try:
            return await self._link.call(careful)
        except Unreachable:
            # Only trouble pays for the machinery of trying again.
            pass
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Unreachable),
            stop=stop_after_delay(self._retry_seconds),
            wait=wait_random_exponential(multiplier=0.05, max=_WAIT_LONGEST_SECONDS),
            reraise=True,
        )
        return await retrying(self._link.call, careful)


def _merged(
    prepared: Sequence[PreparedOptions | Refused],
    plain_numbers: Sequence[int],
    others: Sequence[Answer],
) -> EnqueuedBatch:
    """Return all answers in the order asked."""
    numbers: list[int] = []
    deduplicated: set[int] = set()
    problems: dict[int, Problem] = {}
    plain, other = iter(plain_numbers), iter(others)
    for position, options in enumerate(prepared):
        if isinstance(options, Refused):
            answer: Answer = options
        elif options.copyable:
            answer = next(plain), False
        else:
            answer = next(other)
        if isinstance(answer, Refused):
            numbers.append(0)
            problems[position] = answer.problem
        else:
            numbers.append(answer[0])
            if answer[1]:
                deduplicated.add(position)
    return EnqueuedBatch(numbers, frozenset(deduplicated), problems)


def columns(
    jobs: Sequence[OutgoingJob], options: Sequence[PreparedOptions], numbers: Sequence[int]
) -> tuple[object, ...]:
    """Return the columns that `enqueue_plain` and `enqueue_each` take alike."""
    return (
        Int8Array(numbers),
        Int4Array([one.queue for one in options]),
        Int2Array([one.options.priority for one in options]),
        Int2Array([one.max_attempts for one in options]),
        Int4Array([one.timeout_ms for one in options]),
        Int2Array([one.flags for one in options]),
        Int2Array([one.encoding for one in options]),
        TextArray([one.task_bytes for one in options]),
        ByteaArray([job.payload for job in jobs]),
    )


def features_of(options: Sequence[PreparedOptions]) -> JsonbArray:
    """Return the last column of `enqueue_each`: what each job asks for beyond the others."""
    return JsonbArray([one.features for one in options])


def answer_of(
    number: int | None,
    deduplicated: bool | None,  # noqa: FBT001 (a column of the answer)
    problem_state: str | None,
    problem: str | None,
) -> Answer:
    """Return one row of `enqueue_each` as an answer."""
    if number is not None:
        return number, bool(deduplicated)
    return refusal(REFUSALS[problem_state or ""], problem or "")


async def _stand(connection: AsyncLink, numbers: list[int], first: OutgoingJob) -> bool:
    """Whether an earlier try stored these jobs; one statement stored them all or none.

    Should the first number belong to another job, `numbers` is emptied: new ones are to be minted.
    """
    cursor = await connection.execute(STORED, (first.task, first.payload, numbers[0]))
    row = await cursor.fetchone()
    if row is None:
        return False
    if not row[0]:
        numbers.clear()
    return bool(row[0])
