"""How much a worker claims, and how its lease is counted."""

import pytest

from taskforge_client.wire.workers import Lease
from taskforge_client.worker.heartbeat import Pulse
from taskforge_client.worker.pool import CLAIM_LIMIT, PREFETCH_LIMIT, Slots

pytestmark = pytest.mark.unit


def test_slow_jobs_are_claimed_one_by_one_and_never_beyond_the_slots() -> None:
    now = 0.0
    slots = Slots(10, lambda: now)
    assert slots.room(0) == 10
    slots.take(10)
    assert slots.room(0) == 0
    for _ in range(3):
        now += 1.0
        slots.free(1)
        assert slots.room(0) == 1
        slots.take(1)
    assert slots.prefetch == 0


def test_quick_jobs_are_claimed_ahead_in_large_batches_but_bounded() -> None:
    now = 0.0
    slots = Slots(100, lambda: now)
    for _ in range(200):
        now += 0.02
        slots.take(500)
        slots.free(500)
    assert 900 <= slots.prefetch <= PREFETCH_LIMIT
    assert slots.room(0) == CLAIM_LIMIT
    slots.take(CLAIM_LIMIT)
    assert slots.room(400) == CLAIM_LIMIT
    slots.take(CLAIM_LIMIT)
    assert slots.room(400) == 0
    assert slots.room(0) > 0


def test_the_lease_counts_from_when_a_renewal_was_sent_and_ends_early_for_the_worker() -> None:
    pulse = Pulse(Lease(worker=1, lease_seconds=30), now=100.0)
    assert not pulse.is_lost(124.9)
    assert pulse.is_lost(125.0)
    pulse.renewed(sent_at=110.0)
    assert pulse.lease_until == 140.0
    pulse.renewed(sent_at=105.0)
    assert pulse.lease_until == 140.0
    assert pulse.next_wait(succeeded=True) == 5.0
    assert pulse.next_wait(succeeded=False) == 1.0
    short = Pulse(Lease(worker=1, lease_seconds=3), now=0.0)
    assert short.next_wait(succeeded=True) == 0.5
    assert not short.is_lost(2.2)
    assert short.is_lost(2.25)
