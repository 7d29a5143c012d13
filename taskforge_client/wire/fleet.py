"""The workers at work, as they are shown."""

from datetime import datetime

from attrs import Factory, frozen


@frozen(kw_only=True)
class WorkerView:
    """One worker incarnation. `alive` False: its lease ran out and it will be rescued."""

    id: str
    host: str
    process_id: int
    concurrency: int
    started_at: datetime
    seen_at: datetime
    alive: bool
    draining: bool = False
    running: int = 0
    queues: dict[str, int] = Factory(dict)
    version: str = ""
