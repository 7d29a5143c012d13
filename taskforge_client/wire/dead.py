"""Dead letters on the wire: jobs that used their attempts up, alone and in groups of errors."""

from datetime import datetime

from attrs import frozen

from taskforge_client.wire.jobs import ErrorView


@frozen(kw_only=True)
class DeadFilter:
    """Which dead letters; unset fields let all through.

    `jobs` are ids, `group` is the fingerprint of an error.
    """

    jobs: tuple[str, ...] | None = None
    queue: str | None = None
    task: str | None = None
    group: str | None = None


@frozen(kw_only=True)
class DeadLetter:
    """One dead letter: the job, when and why it was buried, and its last error."""

    id: str
    task: str
    queue: str
    died_at: datetime
    reason: str
    attempt: int
    error: ErrorView | None = None


@frozen(kw_only=True)
class DeadPage:
    """Some dead letters, the newest job first, and the cursor of the next page."""

    letters: tuple[DeadLetter, ...] = ()
    cursor: str | None = None


@frozen(kw_only=True)
class DeadGroup:
    """Like errors: how many, since when, and one example."""

    group: str
    count: int
    first_at: datetime
    last_at: datetime
    sample: DeadLetter


@frozen(kw_only=True)
class BulkAnswer:
    """What a bulk act came to: how many were asked for and how many were changed."""

    asked: int
    changed: int
