"""Drops old history by the partition, and merges old partitions so that few stay attached.

Nothing here holds up the hot path. A detachment is concurrent: it waits for readers without anybody
waiting for it. Its waiting is bounded by our own deadline; what was cut short is finished by the
next call. A table with a live job is never dropped: that is asked before the detachment and, since
a retry may have come between, again after it.

It does not decide which spans to drop or merge (`domain.partitions`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Final

from attrs import frozen
from psycopg import errors as psycopg_errors
from psycopg import sql

from taskforge_client.wire.ids import mint_base, minted_at_ms
from taskforge_server.domain.partitions import Span
from taskforge_server.storage.errors import Busy
from taskforge_server.storage.named import load_statements
from taskforge_server.storage.pool import Connection, Pool, limit

_SQL: Final = load_statements("retention.sql")
_BOUND: Final = re.compile(r"FROM \('(-?\d+)'\) TO \('(-?\d+)'\)")
_PARENTS: Final = ("job", "outcome")
_SIDE_ROWS: Final = ("forget_keys", "forget_unique", "forget_edited")
_BATCH: Final = 5_000
_SWITCH_LOCK_SECONDS: Final = 0.2
_SWITCH_TRIES: Final = 50
_SWITCH_PAUSE_SECONDS: Final = 0.1


@frozen(kw_only=True)
class Attached:
    """A partition of `job` (and of `outcome`, which has the same).

    Its span, and whether its detachment is half done.
    """

    span: Span
    pending: bool


async def attached(pool: Pool) -> list[Attached]:
    """Return the attached partitions, the oldest first."""
    found: dict[Span, bool] = {}
    for parent in _PARENTS:
        for name, bound, pending in await pool.fetch(
            _SQL["attached"], {"parent": f"taskforge.{parent}"}
        ):
            match = _BOUND.search(bound or "")
            if match is None:
                raise ValueError(
                    f"partition {name}: its bounds {bound!r} are not a range of numbers"
                )
            span = Span(low=_day(int(match[1])), high=_day(int(match[2])))
            found[span] = found.get(span, False) or pending
    return [Attached(span=span, pending=pending) for span, pending in sorted(found.items())]


async def is_busy(pool: Pool, span: Span) -> bool:
    """Whether a live job's number lies in the span."""
    ((busy,),) = await pool.fetch(_SQL["is_busy"], {"low": _low(span), "high": _high(span)})
    return bool(busy)


async def drop(pool: Pool, span: Span, *, deadline_seconds: float, pending: bool = False) -> bool:
    """Drop a span's partitions and the rows elsewhere that only meant its jobs.

    Returns False when a live job turned up, which puts everything back. `pending` tells that an
    earlier call began the detachment, which can only be finished.

    Raises:
        Busy: a reader held on until the deadline; the next call goes on from there.
    """
    if not pending and await is_busy(pool, span):
        return False
    try:
        async with asyncio.timeout(deadline_seconds):
            await _detach(pool, "job", span)
            # From here on no retry can find a job of the span; one that came before shows now.
            if await is_busy(pool, span):
                await _attach(pool, "job", span)
                return False
            await _detach(pool, "outcome", span)
            await drop_left_over(pool)
    except TimeoutError:
        raise Busy(f"history of {span.low} to {span.high}: a reader holds on to it") from None
    for query in _SIDE_ROWS:
        values = {"low": _low(span), "high": _high(span), "limit": _BATCH}
        while True:
            ((gone,),) = await pool.fetch(_SQL[query], values)
            if gone < _BATCH:
                break
    return True


async def drop_left_over(pool: Pool) -> list[str]:
    """Drop partitions that were detached before and could not be dropped then.

    Return their names.
    """
    dropped = []
    for (name,) in await pool.fetch(_SQL["left_over"]):
        async with pool.connection() as connection:
            await connection.execute(sql.SQL("drop table if exists {}").format(_table(name)))
        dropped.append(name)
    return dropped


async def merge(pool: Pool, spans: Sequence[Span]) -> Span:
    """Make one partition of neighbours that hold no live job, in one transaction; return its span.

    Bodies never change, so they are copied without a lock; outcomes are copied while they can only
    be read, which a job of that age that was just run again would have to wait for. The exchange
    itself takes milliseconds and gives way when it can't have the locks at once.

    Raises:
        Busy: the exchange found no moment in which nobody was busy.
    """
    whole = Span(low=spans[0].low, high=spans[-1].high)
    async with pool.transaction() as connection:
        await connection.execute(_SQL["lock_partitions"])
        for parent in _PARENTS:
            await _copy(connection, parent, spans, whole)
        await limit(connection, "lock_timeout", _SWITCH_LOCK_SECONDS)
        for _ in range(_SWITCH_TRIES):
            try:
                async with connection.transaction():
                    for parent in _PARENTS:
                        await _exchange(connection, parent, spans, whole)
                    return whole
            except psycopg_errors.LockNotAvailable:
                await asyncio.sleep(_SWITCH_PAUSE_SECONDS)
        raise Busy(
            f"partitions of {whole.low} to {whole.high}: no moment to exchange them was found"
        )


async def _copy(connection: Connection, parent: str, spans: Sequence[Span], whole: Span) -> None:
    key = sql.Identifier("id" if parent == "job" else "job_id")
    await connection.execute(
        sql.SQL(
            "create table {new} (like {old} including all,"
            " check ({key} >= {low} and {key} < {high}))"
        ).format(
            new=_partition(parent, whole),
            old=_table(parent),
            key=key,
            low=sql.Literal(_low(whole)),
            high=sql.Literal(_high(whole)),
        )
    )
    for span in spans:
        if parent == "outcome":
            await connection.execute(
                sql.SQL("lock table {} in share mode").format(_partition(parent, span))
            )
        await connection.execute(
            sql.SQL("insert into {new} select * from {old}").format(
                new=_partition(parent, whole), old=_partition(parent, span)
            )
        )


async def _exchange(
    connection: Connection, parent: str, spans: Sequence[Span], whole: Span
) -> None:
    for span in spans:
        await connection.execute(
            sql.SQL("alter table {} detach partition {}").format(
                _table(parent), _partition(parent, span)
            )
        )
        await connection.execute(sql.SQL("drop table {}").format(_partition(parent, span)))
    await connection.execute(_attaching(parent, whole))


async def _detach(pool: Pool, parent: str, span: Span) -> None:
    name = _name(parent, span)
    for found, _, pending in await pool.fetch(_SQL["attached"], {"parent": f"taskforge.{parent}"}):
        if found == name:
            how = sql.SQL("finalize" if pending else "concurrently")
            statement = sql.SQL("alter table {} detach partition {} {}").format(
                _table(parent), _table(name), how
            )
            async with pool.connection() as connection:
                await connection.execute(statement)


async def _attach(pool: Pool, parent: str, span: Span) -> None:
    async with pool.connection() as connection:
        await connection.execute(_attaching(parent, span))


def _attaching(parent: str, span: Span) -> sql.Composed:
    return sql.SQL("alter table {} attach partition {} for values from ({}) to ({})").format(
        _table(parent),
        _partition(parent, span),
        sql.Literal(_low(span)),
        sql.Literal(_high(span)),
    )


def _partition(parent: str, span: Span) -> sql.Identifier:
    return _table(_name(parent, span))


def _table(name: str) -> sql.Identifier:
    return sql.Identifier("taskforge", name)


def _name(parent: str, span: Span) -> str:
    first = f"{parent}_{span.low:%Y%m%d}"
    return first if span.days == 1 else f"{first}_{span.high:%Y%m%d}"


def _low(span: Span) -> int:
    return _number(span.low)


def _high(span: Span) -> int:
    return _number(span.high)


def _number(day: date) -> int:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return mint_base(int(midnight.timestamp()) * 1000, 0)


def _day(number: int) -> date:
    return datetime.fromtimestamp(minted_at_ms(number) / 1000, UTC).date()
