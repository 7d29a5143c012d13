"""What is stored of an exception, and which failures are of one group."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskforge_client.worker.failure import (
    TRACEBACK_LIMIT,
    clean,
    error_view,
    fingerprint,
    normalise,
)

pytestmark = pytest.mark.unit


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def caught(function: object, *arguments: object) -> BaseException:
    try:
        function(*arguments)  # type: ignore[operator]  # whatever the test gives
    except BaseException as error:  # noqa: BLE001 - that is the point
        return error
    raise AssertionError


def fail_here(message: str) -> None:
    raise ValueError(message)


def fail_there(message: str) -> None:
    raise ValueError(message)


def test_like_failures_share_a_group_and_others_do_not() -> None:
    one = error_view(caught(fail_here, "order 17 of 'anna' at 0x7f3a timed out"))
    two = error_view(caught(fail_here, "order 4,200 of 'bert' at 0xdead timed out"))
    other_place = error_view(caught(fail_there, "order 17 of 'anna' at 0x7f3a timed out"))
    other_words = error_view(caught(fail_here, "order 17 of 'anna' at 0x7f3a was refused"))
    assert one.group == two.group
    assert len({one.group, other_place.group, other_words.group}) == 3
    assert one.type == "ValueError"
    assert "fail_here" in one.traceback


def test_what_cannot_be_told_is_told_so() -> None:
    view = error_view(caught(Broken().__str__))
    assert view.type == "RuntimeError"
    assert "can't be read" in error_view(Broken()).message


def test_long_tracebacks_keep_both_ends() -> None:
    view = error_view(caught(fail_here, "x" * 10 * TRACEBACK_LIMIT))
    assert len(view.traceback) < TRACEBACK_LIMIT + 100
    assert view.traceback.startswith("Traceback")
    assert "left out" in view.traceback


@pytest.mark.parametrize(
    "message,shape",
    [
        ("job_01kq2h8m0g000 is gone", "# is gone"),
        ("3f2a9c1e-7b44-4c1e-9f2a-8d1e3f2a9c1e", "#"),
        ("took 1.5 s, 20 % more", "took # s, # % more"),
        ('no "such thing"  here', "no '#' here"),
        ("deadbeef1234 failed", "# failed"),
    ],
)
def test_normalise(message: str, shape: str) -> None:
    assert normalise(message) == shape


@pytest.mark.properties
@given(st.text())
def test_laws_of_text(text: str) -> None:
    assert "\x00" not in clean(text)
    clean(text).encode("utf-8")
    assert normalise(normalise(text)) == normalise(text)
    assert fingerprint("E", text, ()) == fingerprint("E", normalise(text), ())


@pytest.mark.properties
@given(st.integers(), st.integers())
def test_numbers_make_no_difference(one: int, other: int) -> None:
    template = "row {} of table t"
    assert normalise(template.format(abs(one))) == normalise(template.format(abs(other)))
