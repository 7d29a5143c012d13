from __future__ import annotations

import pytest

from taskforge_client.wire.codec import (
    decode_json,
    decode_msgpack,
    encode_msgpack,
    payload_of,
)
from taskforge_client.wire.jobs import Encoding, JobSpec
from taskforge_client.wire.problems import MalformedValue, ProblemCode

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "body, field, problem, right",
    [
        (b"{}", "task", "missing", "value"),
        (b'{"task":1}', "task", "`int`", "`str`"),
        (b'{"task":"a","optons":{}}', "optons", "no such field", "'options'"),
        (b'{"task":"a","options":{"priorty":1}}', "options.priorty", "no such", "'priority'"),
        (b'{"task":"a","options":{"retry":{"q":1}}}', "options.retry.q", "no such", "backoff"),
        (b'{"task":"a","options":{"tags":["a",1]}}', "options.tags[1]", "`int`", "`str`"),
        (b'{"task":"a","options":{"run_at":"soon"}}', "options.run_at", "datetime", "schema"),
        (b'{"task":"a","encoding":"xml"}', "encoding", "'xml'", "json, msgpack"),
        (b'{"task":"a","payload":"%"}', "payload", "base64", "schema"),
        (b"[]", "body", "`array`", "`object`"),
        (b"nonsense", "body", "can't be read", "JSON"),
        (b"\xff\xfe", "body", "can't be read", "JSON"),
        (b"", "body", "can't be read", "JSON"),
        (b'{"task":"a","args":' + b'{"x":' * 5000 + b"1" + b"}" * 5001, "body", "read", "JSON"),
    ],
)
def test_a_malformed_request_is_refused_by_its_path(
    body: bytes, field: str, problem: str, right: str
) -> None:
    with pytest.raises(MalformedValue) as refused:
        decode_json(body, JobSpec, refuse_unknown=True)
    assert refused.value.field == field
    assert problem in refused.value.problem
    assert right in refused.value.right
    shown = refused.value.as_problem()
    assert (shown.code, shown.status, shown.field) == (ProblemCode.INVALID_REQUEST, 422, field)


def test_lists_are_walked_too() -> None:
    body = encode_msgpack([{"task": "a"}, {"task": "b", "tsk": 1}])
    assert [spec.task for spec in decode_msgpack(body, list[JobSpec])] == ["a", "b"]
    with pytest.raises(MalformedValue, match=r"\[1\]\.tsk"):
        decode_msgpack(body, list[JobSpec], refuse_unknown=True)


def test_arguments_may_have_any_names() -> None:
    spec = decode_json(b'{"task":"a","args":{"queue":{"optons":1}}}', JobSpec, refuse_unknown=True)
    assert spec.args == {"queue": {"optons": 1}}


def test_a_body_above_the_limit_is_refused_unread() -> None:
    with pytest.raises(MalformedValue, match="at most 10"):
        decode_json(b'{"task":"abc"}', JobSpec, limit=10)
    with pytest.raises(MalformedValue, match="at most 10"):
        decode_msgpack(b"x" * 11, JobSpec, limit=10)


def test_malformed_messagepack_is_refused() -> None:
    with pytest.raises(MalformedValue, match="MessagePack"):
        decode_msgpack(b"\xc1", JobSpec)
    with pytest.raises(MalformedValue, match="task"):
        decode_msgpack(b"\x80", JobSpec)


def test_arguments_come_plain_or_encoded_but_not_both() -> None:
    assert payload_of(JobSpec(task="a", args={"x": 1})) == (b"\x81\xa1x\x01", Encoding.MSGPACK)
    encoded = JobSpec(task="a", payload=b"{}", encoding=Encoding.JSON)
    assert payload_of(encoded) == (b"{}", Encoding.JSON)
    with pytest.raises(MalformedValue, match="neither"):
        payload_of(JobSpec(task="a"))
    with pytest.raises(MalformedValue, match="both"):
        payload_of(JobSpec(task="a", args={}, payload=b""))


def test_what_can_not_be_walked_is_refused_by_what_was_wrong_first() -> None:
    with pytest.raises(MalformedValue, match="task"):
        decode_json(b'{"task":1,"args":' + b"[" * 5000 + b"]" * 5000 + b"}", JobSpec)
    with pytest.raises(MalformedValue):
        decode_msgpack(b"\x81\xa4task\x01\xff", JobSpec, refuse_unknown=True)
