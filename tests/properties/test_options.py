from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskforge_client.errors import InvalidRequest
from taskforge_client.options import Prepared, prepare_send
from taskforge_client.wire.limits import check_options, queue_name
from taskforge_client.wire.problems import MalformedValue
from tests.support.strategies import TIMES

pytestmark = pytest.mark.properties


@given(st.text(max_size=120) | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", fullmatch=True))
def test_a_queue_name_is_lowered_or_refused(name: str) -> None:
    fits = re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,99}", name.lower()) is not None
    try:
        assert queue_name(name) == name.lower()
    except MalformedValue:
        assert not fits
    else:
        assert fits


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "queue": st.text(max_size=8) | st.just("Mail"),
            "priority": st.integers(-200, 200) | st.floats() | st.booleans(),
            "delay": st.floats() | st.integers(),
            "run_at": TIMES | st.datetimes(),
            "expires": st.floats(),
            "timeout": st.floats(),
            "key": st.text(max_size=300) | st.integers(),
            "tags": st.lists(st.text(max_size=120), max_size=30),
            "meta": st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers()),
        },
    )
)
def test_options_are_within_every_limit_or_refused_by_name(given_options: Any) -> None:
    try:
        prepared = prepare_send(Prepared(), given_options)
    except InvalidRequest as refused:
        field = refused.problem.field
        assert field is not None
        assert field.partition(".")[0] in given_options
    else:
        check_options(prepared.options)
