"""One timer for all running attempts.

Each is asked to stop at its deadline and given up after the grace.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from taskforge_client.worker.attempt import RunningAttempt
from taskforge_client.worker.clock import Seconds
from taskforge_client.worker.outcome import Stop

GRACE_SECONDS: Final = 2.0
CANCEL_GRACE_SECONDS: Final = 30.0


class Deadlines:
    """Watches the attempts of `running`.

    `given_up` is called for one that did not end within the grace. A timed-out attempt gets
    `GRACE_SECONDS`, a cancelled or drained one `CANCEL_GRACE_SECONDS`, and never more than was left
    to its deadline and the grace.
    """

    def __init__(
        self,
        running: Mapping[int, RunningAttempt],
        monotonic: Seconds,
        given_up: Callable[[RunningAttempt], None],
    ) -> None:
        self._running = running
        self._monotonic = monotonic
        self._given_up = given_up
        self._next_at = float("inf")
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, deadline_at: float) -> None:
        """See to it that somebody looks at `deadline_at`."""
        if deadline_at < self._next_at:
            self._set(deadline_at)

    def stop(self, attempt: RunningAttempt, why: Stop, detail: str = "") -> None:
        """Ask an attempt to stop, unless it has been asked already."""
        if attempt.stop is not None or attempt.is_over:
            return
        attempt.stop = why
        attempt.detail = detail
        now = self._monotonic()
        grace = GRACE_SECONDS if why is Stop.TIMEOUT else CANCEL_GRACE_SECONDS
        attempt.deadline_at = min(now + grace, max(attempt.deadline_at, now) + GRACE_SECONDS)
        attempt.request_cancel(detail or why.value)
        if attempt.interrupt is not None:
            attempt.interrupt(attempt, False)  # noqa: FBT003 - the attribute is a plain callable
        self.watch(attempt.deadline_at)

    def check(self) -> None:
        """Stop what has passed its deadline and give up what has passed its grace."""
        now = self._monotonic()
        soonest = float("inf")
        for attempt in list(self._running.values()):
            if attempt.deadline_at <= now:
                if attempt.stop is None:
                    self.stop(attempt, Stop.TIMEOUT)
                else:
                    self._given_up(attempt)
                    continue
            soonest = min(soonest, attempt.deadline_at)
        self._next_at = float("inf")
        if soonest != float("inf"):
            self._set(soonest)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._next_at = float("inf")

    def _set(self, deadline_at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next_at = deadline_at
        wait = max(0.0, deadline_at - self._monotonic())
        self._timer = asyncio.get_running_loop().call_later(wait, self.check)
