"""Holds the leadership for this node while it can: a lease row with a term, renewed in time.

Invariant: `is_leading` is true only while the lease, counted on the monotonic clock from when it
was asked for, surely runs; a slow answer never lengthens it. Two nodes may still both believe for a
moment after a pause of one, so nothing that must not happen twice rests on leadership: it only
keeps maintenance from being done by every node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID

from attrs import define, field

from taskforge_server.domain.clock import Clock, Rng
from taskforge_server.domain.lease import LeaseTerms
from taskforge_server.engine.service import Service, Stepped
from taskforge_server.storage import leadership
from taskforge_server.storage.pool import Pool
from taskforge_server.telemetry.bus import Bus
from taskforge_server.telemetry.events import LeadershipChanged

NAME: Final = "engine"
TERMS: Final = LeaseTerms(lease_seconds=15.0, renew_seconds=5.0, margin_seconds=2.0)


@define(eq=False, kw_only=True)
class Leader:
    """This node's part in the election; `gained` is called when it wins."""

    pool: Pool
    bus: Bus
    clock: Clock
    rng: Rng
    holder: UUID
    terms: LeaseTerms = TERMS
    gained: Callable[[], None] | None = None
    name: str = "leader"
    _term: int | None = field(default=None, init=False)
    _trusted_until: float = field(default=0.0, init=False)

    @property
    def interval_seconds(self) -> float:
        """How long to wait before asking again."""
        return self.terms.renew_seconds

    def is_leading(self) -> bool:
        """Whether the lease surely runs now."""
        return self._term is not None and self.clock.monotonic() < self._trusted_until

    async def step(self) -> Stepped:
        """Renew the lease, or try to take it."""
        sent_at = self.clock.monotonic()
        lease_seconds = self.terms.lease_seconds
        if self._term is not None:
            kept = await leadership.renew(
                self.pool,
                name=NAME,
                holder=self.holder,
                term=self._term,
                lease_seconds=lease_seconds,
            )
            if not kept:
                self._lose()
        if self._term is None:
            term = await leadership.elect(
                self.pool, name=NAME, holder=self.holder, lease_seconds=lease_seconds
            )
            if term is not None:
                self._term = term
                self._trusted_until = self.terms.trusted_until(sent_at)
                if self.gained is not None:
                    self.gained()
                self.bus.publish(LeadershipChanged(leading=True, term=term))
        if self._term is None:
            return Stepped()
        self._trusted_until = self.terms.trusted_until(sent_at)
        pause = self.terms.next_renewal(sent_at, self.rng) - self.clock.monotonic()
        return Stepped(did=1, again_in_seconds=max(0.05, pause))

    async def resign(self) -> None:
        """Give the leadership up, so that another node needn't wait for the lease to run out."""
        if self._term is not None:
            term = self._term
            self._lose()
            await leadership.resign(self.pool, name=NAME, holder=self.holder, term=term)

    def _lose(self) -> None:
        if self._term is not None:
            self.bus.publish(LeadershipChanged(leading=False, term=self._term))
        self._term = None
        self._trusted_until = 0.0


@define(eq=False, kw_only=True)
class LeaderOnly:
    """A service that steps only on the leading node, to spare the others the work."""

    service: Service
    leader: Leader

    @property
    def name(self) -> str:
        """The inner service's name."""
        return self.service.name

    @property
    def interval_seconds(self) -> float:
        """The inner service's interval."""
        return self.service.interval_seconds

    async def step(self) -> Stepped:
        """Step if this node leads."""
        return await self.service.step() if self.leader.is_leading() else Stepped()
