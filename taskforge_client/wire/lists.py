"""Lists on the wire: which jobs are asked for, and one page of them."""

from datetime import datetime

from attrs import frozen

from taskforge_client.wire.jobs import JobView
from taskforge_client.wire.states import JobState

PAGE_LIMIT = 50
LARGEST_PAGE = 1000


@frozen(kw_only=True)
class JobFilter:
    """Which jobs to list, the newest first; unset fields let all through.

    `cursor` is that of the page before.
    """

    state: JobState | None = None
    queue: str | None = None
    task: str | None = None
    tag: str | None = None
    created_after: datetime | None = None
    limit: int = PAGE_LIMIT
    cursor: str | None = None


@frozen(kw_only=True)
class JobPage:
    """Some jobs, without payloads, results and attempts.

    `cursor` asks for the next page, None when this is the last.
    """

    jobs: tuple[JobView, ...] = ()
    cursor: str | None = None
