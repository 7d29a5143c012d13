from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskforge_client.wire.codec import (
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
)
from taskforge_client.wire.jobs import JobSpec, JobView
from taskforge_client.wire.problems import MalformedValue
from tests.support.strategies import JOB_SPECS, MESSAGES, NAMES, PLAIN

pytestmark = pytest.mark.properties


@given(MESSAGES)
def test_messages_survive_both_encodings(message: object) -> None:
    kind = type(message)
    assert decode_json(encode_json(message), kind, refuse_unknown=True) == message
    assert decode_msgpack(encode_msgpack(message), kind, refuse_unknown=True) == message


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for decode in (decode_json, decode_msgpack):
        with contextlib.suppress(MalformedValue):
            assert isinstance(decode(data, JobView), JobView)


@given(PLAIN)
def test_any_document_is_read_or_refused(document: object) -> None:
    with contextlib.suppress(MalformedValue):
        assert isinstance(decode_json(encode_json(document), JobSpec, refuse_unknown=True), JobSpec)


@given(JOB_SPECS, NAMES, PLAIN)
def test_an_unknown_field_is_refused_in_requests_and_ignored_in_answers(
    spec: JobSpec, name: str, value: object
) -> None:
    from msgspec import json

    plain = json.decode(encode_json(spec))
    if name in plain:
        return
    data = json.encode(plain | {name: value})
    assert decode_json(data, JobSpec) == spec
    with pytest.raises(MalformedValue, match="no such field"):
        decode_json(data, JobSpec, refuse_unknown=True)
