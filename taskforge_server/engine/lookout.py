"""Looks at what may be due, for all services at once, and wakes those that have something to do.

One small query serves the whole node, so an idle system is asked four times a second and nothing
more. It also rings for jobs that were sent where nobody rings: within somebody's own transaction,
or through SQL. Its invariant is that it owns nothing: services also step by themselves, so a
lookout that died only makes them slower.
"""

from collections.abc import Callable, Mapping
from typing import Final

from attrs import define

from taskforge_server.engine.service import Stepped
from taskforge_server.storage import transitions
from taskforge_server.storage.pool import Pool

_LONGEST_SECONDS: Final = 0.25
_SHORTEST_SECONDS: Final = 0.005
_OVERDUE_SECONDS: Final = 0.1


@define(eq=False, kw_only=True)
class Lookout:
    """Wakes services by name when there is something for them."""

    pool: Pool
    wake: Mapping[str, Callable[[], None]]
    name: str = "lookout"
    interval_seconds: float = _LONGEST_SECONDS

    async def step(self) -> Stepped:
        """Look once, wake whom it concerns, and sleep until the next due time.

        At most a quarter of a second.
        """
        look = await transitions.look(self.pool)
        due_in = {"stager": look.stage_in, "scheduler": look.fire_in, "expirer": look.expire_in}
        woken = {name for name, seconds in due_in.items() if seconds is not None and seconds <= 0}
        if look.unresolved:
            woken.add("resolver")
        if look.lease_lost:
            woken.add("rescuer")
        for name in woken & self.wake.keys():
            self.wake[name]()
        await transitions.ring(self.pool, look.unrung)
        ahead = [seconds for seconds in due_in.values() if seconds is not None and seconds > 0]
        pause = min([_LONGEST_SECONDS, *ahead, *([_OVERDUE_SECONDS] if woken else [])])
        return Stepped(did=len(woken), again_in_seconds=max(_SHORTEST_SECONDS, pause))
