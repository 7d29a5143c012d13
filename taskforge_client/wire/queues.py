"""Queues on the wire: what one looks like now."""

from datetime import datetime

from attrs import Factory, frozen


@frozen(kw_only=True)
class QueueView:
    """A queue as it stands now.

    `depth` counts live jobs by state, exactly up to 10,000 in a state; above, counts are those of
    `sampled_at`. `oldest_ready_at` is when the longest waiting ready job became ready;
    `finished_per_second` is the mean over the last minute.
    """

    name: str
    paused: bool = False
    depth: dict[str, int] = Factory(dict)
    oldest_ready_at: datetime | None = None
    finished_per_second: float | None = None
    sampled_at: datetime | None = None
