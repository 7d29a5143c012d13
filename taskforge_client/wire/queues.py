"""Queues on the wire: what one looks like now."""

from datetime import datetime

from attrs import Factory, frozen


@frozen(kw_only=True)
class QueueView:
    """A queue as it stands now.

    `depth` counts live jobs by state; `oldest_ready_at` is when the longest waiting ready job
    became ready; `finished_per_second` is the mean over the last minute.
    """

    name: str
    paused: bool = False
    depth: dict[str, int] = Factory(dict)
    oldest_ready_at: datetime | None = None
    finished_per_second: float | None = None
