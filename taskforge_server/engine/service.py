"""What an engine service is, and the loop that keeps one stepping.

A step is safe to repeat and to run beside the same step on another node; whatever it leaves half-
done, the next step of any node finds. So the loop has no state worth keeping: it steps, sleeps
until it is woken or its time is over, and backs off with full jitter while steps fail.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, Protocol

from attrs import define, field, frozen

from taskforge_server.domain.clock import Clock, Rng
from taskforge_server.engine.probe import Probe
from taskforge_server.telemetry.bus import Bus
from taskforge_server.telemetry.events import ServiceFailed, ServiceStepped

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 15.0
_JITTER: Final = 0.2


@frozen(kw_only=True)
class Stepped:
    """What a step came to: how many things it did, and when to step again.

    None leaves that to the service's interval.
    """

    did: int = 0
    again_in_seconds: float | None = None


class Service(Protocol):
    """One loop of the engine. `interval_seconds` is the longest it sleeps when nobody wakes it."""

    @property
    def name(self) -> str:
        """The word that logs and metrics call it by."""
        ...

    @property
    def interval_seconds(self) -> float:
        """How long it sleeps when there is nothing to do and nobody wakes it."""
        ...

    async def step(self) -> Stepped:
        """Do what there is to do, a bounded amount of it.

        May raise when the database can't be reached.
        """
        ...


@define(eq=False, kw_only=True)
class Loop:
    """Keeps one service stepping."""

    service: Service
    bus: Bus
    clock: Clock
    rng: Rng
    probe: Probe
    _woken: asyncio.Event = field(factory=asyncio.Event, init=False)
    _failures: int = field(default=0, init=False)

    def wake(self) -> None:
        """Let the next step come at once; while one runs, another follows it."""
        self._woken.set()

    async def run(self) -> None:
        """Step until cancelled; errors are reported and never end the loop."""
        while True:
            self._woken.clear()
            pause = await self._step()
            if pause > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._woken.wait()
            else:
                await asyncio.sleep(0)

    async def _step(self) -> float:
        started = self.clock.monotonic()
        try:
            stepped = await self.service.step()
        except Exception as error:  # noqa: BLE001 a loop outlives whatever its steps meet
            return await self._failed(error)
        self._failures = 0
        seconds = self.clock.monotonic() - started
        self.bus.publish(
            ServiceStepped(service=self.service.name, did=stepped.did, seconds=seconds)
        )
        self.probe.stepped(self.service.name, stepped.did)
        if stepped.again_in_seconds is not None:
            return stepped.again_in_seconds
        return self.service.interval_seconds * (1 - _JITTER * self.rng.random())

    async def _failed(self, error: Exception) -> float:
        self._failures += 1
        ceiling = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 16))
        pause = ceiling * self.rng.random()
        self.bus.publish(
            ServiceFailed(
                service=self.service.name,
                error=f"{type(error).__name__}: {error}",
                failures=self._failures,
                pause_seconds=pause,
            )
        )
        self.probe.failed(self.service.name, error)
        # Slept through whatever wakes: a database in trouble is not asked more often because more
        # is due.
        await asyncio.sleep(pause)
        return 0.0
