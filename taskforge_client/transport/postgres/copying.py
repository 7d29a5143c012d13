"""Rows in COPY's binary format, for sends by the thousand.

The format is told in PostgreSQL's manual under COPY, "Binary Format": a signature, then per row a
count of fields and each field behind its length, then -1.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

from taskforge_client.transport.base import OutgoingJob
from taskforge_client.transport.postgres.link import AsyncLink
from taskforge_client.transport.postgres.prepared import PreparedOptions

_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_LENGTH: Final = Struct(">i")
_BODY_HEAD: Final = Struct(">hiqi")
_PLACE_HEAD: Final = Struct(">hiqiq")
_BODY_FIELDS: Final = 13
_PLACE_FIELDS: Final = 7

_COPY_BODIES: Final = (
    "copy taskforge.job (id, payload, project_id, queue_id, priority, max_attempts, timeout_ms,"
    " encoding, on_parent_failure, task, tags, meta, retry) from stdin (format binary)"
)
_COPY_READY: Final = (
    "copy taskforge.ready (ord, job_id, queue_id, priority, attempt, max_attempts, flags)"
    " from stdin (format binary)"
)
_COPY_SCHEDULED: Final = (
    "copy taskforge.scheduled (run_at, job_id, queue_id, priority, attempt, max_attempts, flags)"
    " from stdin (format binary)"
)


class CopyBatch:
    """Jobs packed for COPY: bodies, and the places they wait in."""

    def __init__(self, now_us: int) -> None:
        self._now_us = now_us
        self._bodies = [_SIGNATURE]
        self._ready = [_SIGNATURE]
        self._scheduled = [_SIGNATURE]
        self.ready_queues: set[int] = set()

    def add(
        self,
        numbers: Sequence[int],
        jobs: Sequence[OutgoingJob],
        prepared: Sequence[PreparedOptions],
    ) -> None:
        """Pack jobs under their numbers, in the order in which equals are to run."""
        pack_body, pack_place = _BODY_HEAD.pack, _PLACE_HEAD.pack
        add_body, add_ready, add_scheduled = (
            rows.append for rows in (self._bodies, self._ready, self._scheduled)
        )
        ord_us = self._now_us
        last: PreparedOptions | None = None
        body_tail = place_tail = b""
        run_at_us: int | None = None
        for number, job, options in zip(numbers, jobs, prepared, strict=True):
            if options is not last:
                last = options
                body_tail, place_tail = options.body_tail, options.place_tail
                run_at_us = options.run_at_us(self._now_us)
                if run_at_us is None:
                    self.ready_queues.add(options.queue)
            payload = job.payload
            add_body(pack_body(_BODY_FIELDS, 8, number, len(payload)) + payload + body_tail)
            if run_at_us is None:
                ord_us += 1
                add_ready(pack_place(_PLACE_FIELDS, 8, ord_us, 8, number) + place_tail)
            else:
                add_scheduled(pack_place(_PLACE_FIELDS, 8, run_at_us, 8, number) + place_tail)

    async def write(self, connection: AsyncLink) -> None:
        """Copy everything in one transaction."""
        async with connection.transaction():
            await _copy(connection, _COPY_BODIES, self._bodies)
            if len(self._ready) > 1:
                await _copy(connection, _COPY_READY, self._ready)
            if len(self._scheduled) > 1:
                await _copy(connection, _COPY_SCHEDULED, self._scheduled)


async def _copy(connection: AsyncLink, statement: str, parts: list[bytes]) -> None:
    async with connection.cursor().copy(statement.encode()) as copy:
        await copy.write(b"".join((*parts, _TRAILER)))
