from datetime import UTC, datetime

import click
import pytest

from taskforge_server.cli.values import aware_time, duration, json_object

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "text, seconds",
    [("0", 0), ("1.5", 1.5), ("90s", 90), ("1h30m", 5400), ("2d", 172_800), ("250ms", 0.25)],
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "5 minutes", "1h-5m", "-1", "1y", "nan", "inf"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        duration(text)


def test_arguments_are_an_object() -> None:
    assert json_object('{"a": [1, null]}') == {"a": [1, None]}
    for text in ("[]", "1", '"a"', "null", "{", ""):
        with pytest.raises(click.BadParameter, match="expected an object"):
            json_object(text)


def test_times_carry_their_zone() -> None:
    assert aware_time("2030-01-01T01:00:00+01:00") == datetime(2030, 1, 1, tzinfo=UTC)
    for text in ("2030-01-01T00:00:00", "2030-01-01", "tomorrow"):
        with pytest.raises(click.BadParameter):
            aware_time(text)
