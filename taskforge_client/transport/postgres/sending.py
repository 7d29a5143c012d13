"""Stores jobs: one statement for many small sends, binary COPY for large ones.

Every job's number is known before it is sent, so a send whose answer was lost is repeated by
asking which numbers are stored: nothing is stored twice and nothing acknowledged is lost.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import psycopg
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
Chosen = tuple[OutgoingJob, PreparedOptions]

RETRY_SECONDS: Final = 30.0
_COPY_FROM: Final = 500
_WAIT_LONGEST_SECONDS: Final = 2.0


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
        plain: list[Chosen] = []
        featured: list[Chosen] = []
        for job, options in zip(jobs, prepared, strict=True):
            if not isinstance(options, Refused):
                (plain if options.copyable else featured).append((job, options))
        numbers = await self._send_plain(plain, rung) if plain else []
        if len(numbers) == len(jobs):
            return EnqueuedBatch(numbers), rung
        others = await self._send_each(featured) if featured else []
        rung.update(options.queue for _, options in featured)
        return _merged(prepared, numbers, others), rung

    async def send_within(self, connection: AsyncLink, jobs: Sequence[OutgoingJob]) -> set[int]:
        """Store `jobs` in the transaction that is open on `connection`.

        Return the queues to ring after its commit.

        Raises:
            Refused: one of them is refused; the transaction should not be committed.
        """
        project = await self._directory.project(connection)
        chosen = [(job, await self._directory.prepare(connection, job)) for job in jobs]
        numbers = await self._mint.mint(connection, len(jobs))
        features = JsonbArray([options.features for _, options in chosen])
        cursor = await connection.execute(
            ENQUEUE_EACH, (project, *columns(chosen, numbers), features), binary=True
        )
        for row in sorted(await cursor.fetchall()):
            answer = answer_of(*row[1:])
            if isinstance(answer, Refused):
                raise answer
        return {options.queue for _, options in chosen}

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

    async def _send_plain(self, chosen: Sequence[Chosen], rung: set[int]) -> list[int]:
        simple = len(chosen) < _COPY_FROM and all(options.features is None for _, options in chosen)
        write = self._insert if simple else self._copy
        numbers: list[int] = []

        async def attempt(connection: AsyncLink) -> None:
            if numbers and await _any_stored(connection, numbers):
                return
            await write(connection, chosen, numbers, rung)

        await self._patiently(attempt)
        return numbers

    async def _insert(
        self,
        connection: AsyncLink,
        chosen: Sequence[Chosen],
        numbers: list[int],
        rung: set[int],
    ) -> None:
        if not numbers:
            numbers.extend(await self._mint.mint(connection, len(chosen)))
        project = await self._directory.project(connection)
        await connection.execute(
            ENQUEUE_PLAIN, (project, *columns(chosen, numbers)), prepare=True, binary=True
        )
        rung.update(options.queue for _, options in chosen)

    async def _copy(
        self,
        connection: AsyncLink,
        chosen: Sequence[Chosen],
        numbers: list[int],
        rung: set[int],
    ) -> None:
        blocks = -(-len(chosen) // BLOCK_SIZE)
        cursor = connection.cursor(binary=True)
        await cursor.execute(RESERVE, (blocks,), prepare=True)
        rows = await cursor.fetchall()
        if not numbers:
            for base, _ in rows:
                numbers.extend(range(base, base + min(BLOCK_SIZE, len(chosen) - len(numbers))))
        batch = CopyBatch(rows[0][1])
        for number, (job, options) in zip(numbers, chosen, strict=True):
            batch.add(number, job, options)
        await batch.write(connection)
        rung |= batch.ready_queues

    async def _send_each(self, chosen: Sequence[Chosen]) -> list[Answer]:
        numbers: list[int] = []

        async def attempt(connection: AsyncLink) -> list[Answer]:
            if not numbers:
                numbers.extend(await self._mint.mint(connection, len(chosen)))
            project = await self._directory.project(connection)
            features = JsonbArray([options.features for _, options in chosen])
            cursor = await connection.execute(
                ENQUEUE_EACH,
                (project, *columns(chosen, numbers), features),
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


def columns(chosen: Sequence[Chosen], numbers: Sequence[int]) -> tuple[object, ...]:
    """Return the columns that `enqueue_plain` and `enqueue_each` take alike."""
    options = [prepared for _, prepared in chosen]
    return (
        Int8Array(numbers),
        Int4Array([one.queue for one in options]),
        Int2Array([one.options.priority for one in options]),
        Int2Array([one.max_attempts for one in options]),
        Int4Array([one.timeout_ms for one in options]),
        Int2Array([one.flags for one in options]),
        Int2Array([one.encoding for one in options]),
        TextArray([one.task_bytes for one in options]),
        ByteaArray([job.payload for job, _ in chosen]),
    )


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


async def _any_stored(connection: AsyncLink, numbers: Sequence[int]) -> bool:
    # One statement stored them all or none, so one of them tells for all.
    cursor = await connection.execute(STORED, (Int8Array(numbers[:1]),))
    return await cursor.fetchone() is not None
