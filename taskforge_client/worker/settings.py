"""How one worker process is to work."""

from typing import Final

from attrs import Factory, field, frozen
from attrs.validators import ge, instance_of

from taskforge_client.wire.jobs import DEFAULT_QUEUE
from taskforge_client.wire.workers import LEASE_SECONDS
from taskforge_client.worker.drain import Grace
from taskforge_client.worker.outcome import RESULT_LIMIT_BYTES
from taskforge_client.worker.runnable import Place

DEFAULT_CONCURRENCY: Final = 100
DEFAULT_THREADS: Final = 16
DEFAULT_CHILDREN: Final = 4


@frozen(kw_only=True)
class ChildLimits:
    """When a child process is replaced, always between two jobs.

    After so many, or once it is so large.
    """

    jobs: int = field(default=10_000, validator=ge(1))
    memory_mib: int = field(default=1024, validator=ge(16))


@frozen(kw_only=True)
class WorkerSettings:
    """The settings of one worker process.

    `queues` maps names to weights. `concurrency` bounds all attempts that run at once in this
    process; of these, plain functions take at most `threads` threads or `children` child processes.
    `plain_place` is where a plain function runs whose decorator does not say. A worker process that
    owns itself leaves to be replaced after `recycle_after_jobs` jobs, or above `recycle_above_mib`
    of memory. `app_path` (``module:name``) is where child processes find the app; unset, it is
    looked for among the imported modules.
    """

    queues: dict[str, int] = Factory(lambda: {DEFAULT_QUEUE: 1})
    concurrency: int = field(default=DEFAULT_CONCURRENCY, validator=[instance_of(int), ge(1)])
    threads: int = field(default=DEFAULT_THREADS, validator=[instance_of(int), ge(1)])
    children: int = field(default=DEFAULT_CHILDREN, validator=[instance_of(int), ge(1)])
    app_path: str | None = None
    recycle_after_jobs: int | None = None
    recycle_above_mib: int | None = None
    lease_seconds: float = field(default=LEASE_SECONDS, validator=ge(1.0))
    child_limits: ChildLimits = Factory(ChildLimits)
    plain_place: Place = Place.THREAD
    grace: Grace = Factory(Grace)
    result_limit_bytes: int = RESULT_LIMIT_BYTES
