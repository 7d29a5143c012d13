"""The live view of `taskforge dev`: what is waiting, what runs, how fast, and what failed last."""

import time
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from taskforge_client.wire.dead import DeadFilter, DeadLetter
from taskforge_client.wire.fleet import WorkerView
from taskforge_client.wire.queues import QueueView
from taskforge_server.operations import dead, overview, queues, workers
from taskforge_server.operations.caller import Caller

if TYPE_CHECKING:
    from rich.console import RenderableType

FAILURES_SHOWN: Final = 3
_DEPTHS: Final = ("ready", "running", "scheduled", "blocked", "dead")


@frozen(kw_only=True)
class Snapshot:
    """How things stood at one moment. `per_second` None: not known yet."""

    queues: list[QueueView]
    workers: list[WorkerView]
    failures: tuple[DeadLetter, ...]
    finished: int
    per_second: float | None

    def depth(self, state: str) -> int:
        """Return how many jobs of all queues are in a state."""
        return sum(queue.depth.get(state, 0) for queue in self.queues)


@define
class Watcher:
    """Asks how things stand, and works out the rate since it asked before."""

    caller: Caller
    _first: int | None = field(init=False, default=None)
    _last: tuple[float, int] | None = field(init=False, default=None)

    async def look(self) -> Snapshot:
        """Return the present state."""
        total = await overview.finished_total(self.caller)
        now = time.monotonic()
        if self._first is None:
            self._first = total
        rate = None
        if self._last is not None and now > self._last[0]:
            rate = max(0, total - self._last[1]) / (now - self._last[0])
        self._last = (now, total)
        page = await dead.list_dead(self.caller, DeadFilter(), limit=FAILURES_SHOWN)
        return Snapshot(
            queues=await queues.list_queues(self.caller),
            workers=await workers.list_workers(self.caller),
            failures=page.letters,
            finished=total - self._first,
            per_second=rate,
        )


def render(snapshot: Snapshot, heading: str) -> "RenderableType":
    """Return a snapshot as a panel for a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("queue")
    for name in _DEPTHS:
        table.add_column(name, justify="right")
    for queue in snapshot.queues:
        name = f"{queue.name} (paused)" if queue.paused else queue.name
        table.add_row(name, *(f"{queue.depth.get(depth, 0):,}" for depth in _DEPTHS))
    lines: list[RenderableType] = [Text(summary(snapshot), style="bold")]
    lines.append(table if snapshot.queues else Text("no jobs yet", style="dim"))
    lines.extend(
        Text(failure_line(letter), style="red", no_wrap=True, overflow="ellipsis")
        for letter in snapshot.failures
    )
    return Panel(Group(*lines), title=heading, title_align="left")


def summary(snapshot: Snapshot) -> str:
    """Return a snapshot as one line."""
    rate = "" if snapshot.per_second is None else f", {snapshot.per_second:,.0f} a second"
    held = sum(worker.running for worker in snapshot.workers)
    count = len(snapshot.workers)
    return (
        f"{snapshot.finished:,} attempts finished{rate} · {held:,} running in {count} "
        f"worker{'s' if count != 1 else ''} · {snapshot.depth('ready'):,} ready · "
        f"{snapshot.depth('dead'):,} dead"
    )


def failure_line(letter: DeadLetter) -> str:
    """Return a dead letter as one line."""
    what = letter.reason
    if letter.error is not None:
        what = f"{letter.error.type}: {letter.error.message.partition(chr(10))[0]}"
    return f"{letter.id} {letter.task}: {what}"
