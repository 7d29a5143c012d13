"""A task made ready to run.

What the loop needs of it for each job, looked up once per job by its name.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Protocol

from attrs import Factory, define

from taskforge_client.values import ENCODER
from taskforge_client.wire.jobs import Encoding
from taskforge_client.wire.workers import ClaimedJob
from taskforge_client.worker.metrics import Tally
from taskforge_client.worker.outcome import Rules

ENCODED_NONE: Final = ENCODER.encode(None)


class Place(Enum):
    """Where an attempt's code runs."""

    LOOP = "loop"
    THREAD = "thread"
    PROCESS = "process"


@define(eq=False)
class Runnable:
    """One task as the worker runs it.

    `call` takes every argument by name, as `decode` gives them. `concurrency` bounds how many run
    at once in this process, None: as many as there are slots; what was claimed beyond it waits in
    `held`.
    """

    name: str
    call: Callable[..., Any]
    decode: Callable[[bytes, Encoding], dict[str, Any]]
    is_async: bool
    place: Place
    rules: Rules
    tally: Tally
    keeps_result: bool = True
    concurrency: int | None = None
    running: int = 0
    held: deque[ClaimedJob] = Factory(deque)

    def encode(self, value: object) -> bytes | None:
        """Return a result's bytes, None where it is not kept; raises what the codec raises."""
        if not self.keeps_result:
            return None
        return ENCODED_NONE if value is None else ENCODER.encode(value)


class Catalogue(Protocol):
    """Finds tasks by name; unknown names give None."""

    def get(self, name: str, /) -> Runnable | None:
        """Return the task of that name."""
        ...
