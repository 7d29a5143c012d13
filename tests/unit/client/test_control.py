from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest

from taskforge_client import Bury, Cancel, RetryIn, Snooze
from taskforge_client.errors import InvalidRequest

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("steering", [RetryIn(1), Snooze(1), Cancel("x"), Bury("x")])
def test_no_except_exception_stops_steering(steering: BaseException) -> None:
    with pytest.raises(type(steering)), contextlib.suppress(Exception):
        raise steering


@pytest.mark.parametrize("kind", [RetryIn, Snooze])
def test_a_later_time_is_seconds_or_a_timedelta(kind: type[RetryIn | Snooze]) -> None:
    assert kind(2).seconds == 2.0
    assert kind(timedelta(minutes=1), "busy").seconds == 60.0
    assert kind(0).reason is None
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(InvalidRequest, match="seconds"):
            kind(wrong)


def test_an_end_has_a_reason() -> None:
    assert Cancel("not wanted").reason == "not wanted"
    assert Bury().reason == ""
