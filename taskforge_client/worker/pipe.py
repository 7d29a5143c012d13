"""What a worker and its child processes say to each other: MessagePack frames over a socket pair.

Both ends are of one version and one machine; nothing here is part of the wire schema.
"""

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from taskforge_client.transport.base import OutgoingJob
from taskforge_client.wire.jobs import Progress
from taskforge_client.wire.workers import ClaimedJob, Finished

_LENGTH_BYTES: Final = 4


class Begin(Struct, frozen=True, tag=True):
    """To the child, first: where the app is, and what bounds a result."""

    app_path: str
    result_limit_bytes: int


class Run(Struct, frozen=True, tag=True):
    """To the child: run one job."""

    job: ClaimedJob
    started_unix: float


class Ask(Struct, frozen=True, tag=True):
    """To the child: the running job is to stop; with `interrupt` it is interrupted as well."""

    reason: str
    interrupt: bool


class Ready(Struct, frozen=True, tag=True):
    """From the child: the app is loaded and its resources are open."""


class Broken(Struct, frozen=True, tag=True):
    """From the child: it can't work, and why."""

    message: str


class Told(Struct, frozen=True, tag=True):
    """From the child: the running task reported progress, or moved its deadline."""

    progress: Progress | None = None
    extend_seconds: float = 0.0


class Ended(Struct, frozen=True, tag=True):
    """From the child: the running job's outcome, what it spawned, and how large the process is."""

    outcome: Finished
    spawned: list[OutgoingJob]
    memory_mib: float


ToChild = Begin | Run | Ask
FromChild = Ready | Broken | Told | Ended

_ENCODER: Final = msgspec.msgpack.Encoder()


def frame(message: ToChild | FromChild) -> bytes:
    """Return a message as a length and its bytes."""
    body = _ENCODER.encode(message)
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


class Frames:
    """Cuts a stream of bytes into the bodies of frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take more bytes and give every body that is complete."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(self._buffer[:_LENGTH_BYTES], "little")
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH_BYTES:end])
            del self._buffer[:end]
            yield body
