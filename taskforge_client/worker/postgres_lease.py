"""Keeps a worker's lease over a blocking connection of its own, in the heartbeat's thread.

A server that falls silent is waited for during a third of the lease and no longer: whoever renews
must still have time to come again, or to stop what runs, before somebody else takes the jobs.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any, Final

import psycopg

from taskforge_client.transport.postgres.arrays import (
    Float8Array,
    Int8Array,
    TextArray,
    register_arrays,
)
from taskforge_client.transport.postgres.link import CONNECTION_OPTIONS
from taskforge_client.transport.postgres.refusals import translate
from taskforge_client.wire.jobs import Progress
from taskforge_client.wire.workers import Heartbeat, HeartbeatAnswer

_BEAT: Final = "select draining, cancelled, strays from taskforge.heartbeat(%s, %s, %s)"
_ANSWER_PART: Final = 1 / 3
_REPORT: Final = "select taskforge.report_progress(%s, %s, %s::float8[], %s)"


class LeaseKeeper:
    """Sends heartbeats.

    Not to be shared between threads; `close` may come from another once beating has ended.
    """

    def __init__(self, url: str, lease_seconds: float) -> None:
        self._url = url
        self._lease_seconds = lease_seconds
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def beat(self, beat: Heartbeat) -> HeartbeatAnswer:
        """Extend the lease, report progress, and return what the worker should know.

        Raises:
            Unreachable: the database did not answer; the lease may or may not have been extended.
        """
        try:
            connection = self._open()
            known = None if beat.running is None else Int8Array(beat.running)
            values = (beat.worker, self._lease_seconds, known)
            with _answered_within(connection, self._lease_seconds * _ANSWER_PART):
                row = connection.execute(_BEAT, values).fetchone()
                if row is not None and beat.progress:
                    _report(connection, beat.progress)
        except psycopg.Error as error:
            self.close()
            raise translate(error) from error
        if row is None:
            return HeartbeatAnswer(alive=False)
        draining, cancelled, _ = row
        reasons = {int(number): reason for number, reason in (cancelled or {}).items()}
        return HeartbeatAnswer(alive=True, drain=draining, cancelled=reasons)

    def end(self, worker: int) -> None:
        """End the lease of a worker that is known to be dead, so that its jobs go on at once.

        Raises:
            Unreachable: the database did not answer; the lease runs out by itself.
        """
        try:
            connection = self._open()
            with _answered_within(connection, self._lease_seconds * _ANSWER_PART):
                connection.execute("select taskforge.end_lease(%s)", (worker,))
        except psycopg.Error as error:
            self.close()
            raise translate(error) from error

    def close(self) -> None:
        """Close the connection; the next beat opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._url, autocommit=True, application_name="taskforge lease", **CONNECTION_OPTIONS
            )
            register_arrays(self._connection)
        return self._connection


@contextlib.contextmanager
def _answered_within(connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """Shut the way to a server that falls silent; whoever waits for its answer learns of it."""
    way = socket.socket(fileno=os.dup(connection.fileno()))

    def shut() -> None:
        with contextlib.suppress(OSError):
            way.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        way.close()


def _report(connection: psycopg.Connection[Any], progress: dict[int, Progress]) -> None:
    numbers = sorted(progress)
    notes = [progress[number].note for number in numbers]
    connection.execute(
        _REPORT,
        (
            Int8Array(numbers),
            Float8Array([progress[number].done for number in numbers]),
            [progress[number].total for number in numbers],
            TextArray([None if note is None else note.encode() for note in notes]),
        ),
    )
