from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from taskforge_client.retry import delay_seconds
from taskforge_client.wire.policies import RetryPolicy
from tests.support.strategies import RETRY_POLICIES

pytestmark = pytest.mark.properties
ATTEMPTS = st.integers(1, 1000)
CHANCES = st.floats(0, 1, exclude_max=True)


@given(RETRY_POLICIES, ATTEMPTS, CHANCES)
def test_a_wait_lies_between_nothing_and_the_cap(
    policy: RetryPolicy, attempt: int, chance: float
) -> None:
    assert 0 <= delay_seconds(policy, attempt, lambda: chance) <= policy.cap_seconds


@given(RETRY_POLICIES, ATTEMPTS, CHANCES)
def test_jitter_takes_away_no_more_than_its_part(
    policy: RetryPolicy, attempt: int, chance: float
) -> None:
    full = delay_seconds(policy, attempt, lambda: 0.0)
    spread = delay_seconds(policy, attempt, lambda: chance)
    assert full * (1 - policy.jitter) <= spread * (1 + 1e-9)
    assert spread <= full


@given(RETRY_POLICIES, ATTEMPTS, st.floats(0, 1e6))
def test_a_higher_cap_never_shortens_a_wait(policy: RetryPolicy, attempt: int, more: float) -> None:
    higher = evolve(policy, cap_seconds=policy.cap_seconds + more)
    assert delay_seconds(policy, attempt, lambda: 0.0) <= delay_seconds(
        higher, attempt, lambda: 0.0
    )


@given(RETRY_POLICIES, ATTEMPTS)
def test_full_waits_do_not_shrink_from_attempt_to_attempt(
    policy: RetryPolicy, attempt: int
) -> None:
    growing = evolve(policy, factor=max(policy.factor, 1.0))
    assert delay_seconds(growing, attempt, lambda: 0.0) <= delay_seconds(
        growing, attempt + 1, lambda: 0.0
    )
