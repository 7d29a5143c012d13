from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from taskforge_client import Retry
from taskforge_client.errors import InvalidRequest
from taskforge_client.retry import delay_seconds
from taskforge_client.wire.policies import Backoff, RetryPolicy

pytestmark = pytest.mark.unit


def waits(retry: Retry, attempts: int = 5, chance: float = 0.0) -> list[float | None]:
    return [
        retry.delay_seconds(attempt, ValueError(), lambda: chance)
        for attempt in range(1, attempts + 1)
    ]


def test_the_waits_of_each_policy() -> None:
    exponential = Retry.exponential(first=1, factor=3, cap=timedelta(seconds=20))
    assert waits(exponential) == [1, 3, 9, 20, 20]
    assert waits(Retry.linear(first=2, cap=7)) == [2, 4, 6, 7, 7]
    assert waits(Retry.fixed(first=4)) == [4, 4, 4, 4, 4]
    assert waits(Retry.exponential(first=8, jitter=1), 2, chance=0.75) == [2, 4]
    assert waits(Retry.fixed(first=8, jitter=0.5), 1, chance=0.5) == [6]


def test_large_exponents_end_at_the_cap() -> None:
    policy = RetryPolicy(first_seconds=1.0, factor=100.0, cap_seconds=50.0, jitter=0.0)
    assert delay_seconds(policy, 1000, lambda: 0.0) == 50.0


def test_never_is_one_attempt() -> None:
    assert Retry.never().policy.attempts == 1


def test_a_function_may_choose_and_give_up() -> None:
    def wait(attempt: int, error: BaseException) -> float | timedelta | None:
        if isinstance(error, KeyError):
            return None
        return timedelta(minutes=attempt) if attempt > 1 else -5

    retry = Retry.custom(wait, attempts=3)
    assert retry.policy.backoff is Backoff.CUSTOM
    assert waits(retry, 2) == [0.0, 120.0]
    assert retry.delay_seconds(1, KeyError(), lambda: 0.0) is None


def test_errors_are_chosen_by_kind() -> None:
    retry = Retry.exponential(on=(OSError, ValueError), not_on=FileNotFoundError)
    assert retry.applies_to(OSError())
    assert retry.applies_to(UnicodeError())
    assert not retry.applies_to(FileNotFoundError())
    assert not retry.applies_to(KeyError())
    assert retry.delay_seconds(1, KeyError(), lambda: 0.0) is None
    assert not Retry.fixed().applies_to(KeyboardInterrupt())


@pytest.mark.parametrize(
    "options, field",
    [
        ({"attempts": 0}, "retry.attempts"),
        ({"first": -1}, "retry.first"),
        ({"first": "1 s"}, "retry.first"),
        ({"cap": float("inf")}, "retry.cap"),
        ({"factor": 0}, "retry.factor"),
        ({"jitter": 2}, "retry.jitter"),
    ],
)
def test_what_is_out_of_range_is_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Retry.exponential(**options)
    assert refused.value.problem.field == field
