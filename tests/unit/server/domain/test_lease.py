import random
from datetime import UTC, datetime, timedelta

import pytest

from taskforge_server.domain.clock import SystemClock, system_rng
from taskforge_server.domain.lease import LeaseTerms, extended, is_expired

pytestmark = pytest.mark.unit

TERMS = LeaseTerms(lease_seconds=15, renew_seconds=5, margin_seconds=2)


def test_trust_counts_from_the_request_and_ends_before_the_lease() -> None:
    assert TERMS.trusted_until(100.0) == 113.0


def test_renewals_come_up_to_a_tenth_early() -> None:
    rng = random.Random(1)  # noqa: S311 - jitter
    times = [TERMS.next_renewal(100.0, rng) for _ in range(100)]
    assert all(104.5 <= time <= 105.0 for time in times)
    assert max(times) - min(times) > 0.3


@pytest.mark.parametrize("renew", [0.0, -1.0, 7.0])
def test_terms_that_lose_a_lease_by_one_lost_renewal_are_refused(renew: float) -> None:
    with pytest.raises(ValueError, match="renew_seconds"):
        LeaseTerms(lease_seconds=15, renew_seconds=renew, margin_seconds=2)


def test_the_last_instant_belongs_to_the_holder() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    end = extended(now, TERMS)
    assert end == now + timedelta(seconds=15)
    assert not is_expired(end, end)
    assert is_expired(end, end + timedelta(microseconds=1))


def test_the_system_clock_is_aware_and_only_grows() -> None:
    clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() <= clock.monotonic()
    assert 0 <= system_rng().random() < 1
