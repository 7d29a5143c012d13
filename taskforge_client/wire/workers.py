"""The worker conversation: register, claim, extend, finish, release.

A worker is one incarnation of a process. It holds one lease for all that it runs; each claimed job
carries a random fence token, and every later word about the job must repeat it.
"""

from enum import Enum

from attrs import Factory, define, frozen

from taskforge_client.wire.jobs import Encoding, ErrorView, Progress
from taskforge_client.wire.states import JobState

LEASE_SECONDS = 30.0
RENEW_SECONDS = 5.0


@frozen(kw_only=True)
class Registration:
    """A new incarnation asks for a lease. `queues` maps a queue's name to its weight."""

    incarnation: str
    host: str
    process_id: int
    queues: dict[str, int]
    concurrency: int
    version: str = ""


@frozen(kw_only=True)
class Lease:
    """The answer to a registration.

    The worker's number in storage and how long the lease lasts from now.
    """

    worker: int
    lease_seconds: float = LEASE_SECONDS


@define(kw_only=False, eq=False)
class ClaimedJob:
    """One job handed to a worker. Plain and mutable because a busy worker makes thousands a second.

    `token` fences every later word about the attempt; `flags` are storage's and only handed back.
    `retry` is the policy sent with the job as stored text (JSON), None where the task's own stands.
    """

    number: int
    attempt: int
    max_attempts: int
    token: int
    queue: str
    task: str
    payload: bytes
    encoding: Encoding
    timeout_seconds: float
    flags: int = 0
    retry: str | None = None
    key: str | None = None
    tags: tuple[str, ...] = ()
    meta: dict[str, str] = Factory(dict)
    fire_time_us: int | None = None
    expired: bool = False


@define(kw_only=False, eq=False)
class Finished:
    """How one attempt ended, decided by the worker: the state its job moves to.

    `state` is final, or `scheduled` for a retry or snooze after `delay_seconds`. A snooze
    (`burns_attempt` False) gives the attempt back. `duration_us` is the attempt's own time.
    `result` is encoded, None where none is kept.
    """

    number: int
    attempt: int
    token: int
    state: JobState
    duration_us: int = 0
    result: bytes | None = None
    error: ErrorView | None = None
    reason: str | None = None
    log: str | None = None
    delay_seconds: float = 0.0
    burns_attempt: bool = True
    spawned: tuple[object, ...] = ()


class Fate(Enum):
    """What became of a `Finished`.

    Recorded by this call or an earlier one (`MINE`), or the attempt was `LOST`.
    """

    MINE = "mine"
    LOST = "lost"


@frozen(kw_only=True)
class Heartbeat:
    """A worker extends its lease and tells what its running jobs report.

    `running`, given with every sixth beat or so, names all jobs in hand (claimed and not yet
    finished): whatever storage has under this worker besides is a claim whose answer was lost, and
    is given back.
    """

    worker: int
    running: tuple[int, ...] | None = None
    progress: dict[int, Progress] = Factory(dict)


@frozen(kw_only=True)
class HeartbeatAnswer:
    """`alive` False: the lease was lost, stop everything.

    `cancelled` maps job numbers to the reason given.
    """

    alive: bool
    drain: bool = False
    cancelled: dict[int, str] = Factory(dict)
