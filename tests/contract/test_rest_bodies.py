"""The HTTP face under bad bodies, bad keys and bad values: problems in words, never a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from tests.contract.conftest import serving_http
from tests.support.postgres import Database

pytestmark = pytest.mark.contract

MSGPACK = "application/msgpack"
JSON = "application/json"


@pytest.fixture(scope="module")
def client(module_database: Database) -> Iterator[httpx.Client]:
    with serving_http(module_database.url) as (url, api_key):
        headers = {"Authorization": f"Bearer {api_key}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30) as made:
            yield made


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    """Check that an answer is a problem and nothing but a problem, and return it."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text
    problem: dict[str, Any] = answer.json()
    assert set(problem) == {
        *("type", "title", "status", "code", "field", "detail", "hint", "instance")
    }
    assert problem["status"] == answer.status_code
    return problem


@pytest.mark.parametrize(
    "body, field",
    [
        (b"", "body"),
        (b"{", "body"),
        (b"nonsense", "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b'"job"', "body"),
        (b"\xff\xfe\x00", "body"),
        (b'{"task": "\xff"}', "body"),
        (b"[" * 50_000, None),
        (b'{"task":' * 50_000, None),
        (b"{}", "task"),
        (b'{"task": 7}', "task"),
        (b'{"task": "", "args": {}}', "task"),
        (b'{"task": "a b", "args": {}}', "task"),
        (b'{"task": "a:b\\u0000", "args": {}}', "task"),
        (b'{"tusk": "a:b"}', "tusk"),
        (b'{"task": "a:b", "args": {}, "optoins": {}}', "optoins"),
        (b'{"task": "a:b", "args": {}, "options": {"quue": "x"}}', "options.quue"),
        (b'{"task": "a:b", "args": [1]}', "args"),
        (b'{"task": "a:b"}', "args"),
        (b'{"task": "a:b", "args": {}, "payload": "gA=="}', "args"),
        (b'{"task": "a:b", "payload": "!!!"}', "payload"),
        (b'{"task": "a:b", "payload": "wQ=="}', "payload"),
        (b'{"task": "a:b", "payload": "kQE="}', "payload"),
        (b'{"task": "a:b", "payload": "eA==", "encoding": "json"}', "payload"),
        (b'{"task": "a:b", "payload": "gA==", "encoding": "pickle"}', "encoding"),
        (b'{"task": "a:b", "args": {}, "options": {"queue": "no/slash"}}', "queue"),
        (b'{"task": "a:b", "args": {}, "options": {"queue": null}}', "options.queue"),
        (b'{"task": "a:b", "args": {}, "options": {"priority": 101}}', "priority"),
        (b'{"task": "a:b", "args": {}, "options": {"priority": 1e400}}', None),
        (b'{"task": "a:b", "args": {}, "options": {"delay_seconds": -1}}', "delay"),
        (b'{"task": "a:b", "args": {}, "options": {"delay_seconds": 1e300}}', "delay"),
        (
            b'{"task": "a:b", "args": {}, "options": {"run_at": "2030-01-01T00:00:00"}}',
            "run_at",
        ),
        (b'{"task": "a:b", "args": {}, "options": {"run_at": "soon"}}', "options.run_at"),
        (b'{"task": "a:b", "args": {}, "options": {"retry": {"attempts": 0}}}', "retry.attempts"),
        (b'{"task": "a:b", "args": {}, "options": {"after": ["nonsense"]}}', None),
        (b'{"task": "a:b", "args": {}, "options": {"meta": {"a": 1}}}', "options.meta[...]"),
        (b'{"task": "a:b", "args": {}, "options": {"key": "\\u0000"}}', "key"),
    ],
)
def test_a_malformed_job_is_refused_by_its_field(
    client: httpx.Client, body: bytes, field: str | None
) -> None:
    answer = client.post("/v1/jobs", content=body, headers={"Content-Type": JSON})
    problem = problem_of(answer)
    assert answer.status_code == 422, problem
    assert problem["code"] == "invalid_request"
    if field is not None:
        assert problem["field"] == field, problem


def test_a_mistyped_field_is_answered_with_the_nearest(client: httpx.Client) -> None:
    answer = client.post("/v1/jobs", json={"task": "a:b", "args": {}, "options": {"quue": "x"}})
    assert "'queue'" in problem_of(answer)["hint"]


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_an_unknown_media_type_is_refused(client: httpx.Client, content_type: str) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = client.post("/v1/jobs", content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert problem_of(answer)["field"] == "Content-Type"


def test_messagepack_goes_both_ways_and_its_problems_too(client: httpx.Client) -> None:
    headers = {"Content-Type": MSGPACK, "Accept": MSGPACK}
    spec = {"task": "a:b", "payload": msgspec.msgpack.encode({"x": 1})}
    made = client.post("/v1/jobs", content=msgspec.msgpack.encode(spec), headers=headers)
    assert made.status_code == 201
    assert made.headers["content-type"] == MSGPACK
    assert msgspec.msgpack.decode(made.content)["deduplicated"] is False

    refused = client.post("/v1/jobs", content=b"\xc1", headers=headers)
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+msgpack"
    assert msgspec.msgpack.decode(refused.content)["code"] == "invalid_request"


def test_a_body_above_the_limit_is_refused(client: httpx.Client) -> None:
    large = {"task": "a:b", "args": {"text": "x" * 3_000_000}}
    announced = client.post("/v1/jobs", json=large)
    assert announced.status_code == 413
    assert problem_of(announced)["code"] == "too_large"

    chunks = (b"x" * 65_536 for _ in range(64))
    streamed = client.post("/v1/jobs", content=chunks, headers={"Content-Type": JSON})
    assert streamed.status_code == 413

    # Below the body's limit, above the payload's.
    payload = client.post("/v1/jobs", json={"task": "a:b", "args": {"text": "x" * 1_200_000}})
    assert payload.status_code == 413
    assert problem_of(payload)["field"] == "payload"


def test_an_idempotency_key_makes_one_job(client: httpx.Client) -> None:
    body = {"task": "a:b", "args": {"x": 1}}
    headers = {"Idempotency-Key": "request-1"}
    first = client.post("/v1/jobs", json=body, headers=headers)
    again = client.post("/v1/jobs", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == {"id": first.json()["id"], "deduplicated": True}
    assert first.headers["location"] == f"/v1/jobs/{first.json()['id']}"
    other = client.post("/v1/jobs", json={"task": "a:b", "args": {"x": 2}}, headers=headers)
    assert other.status_code == 409
    assert problem_of(other)["code"] == "key_reused"


def test_a_bulk_answers_item_by_item(client: httpx.Client) -> None:
    good = {"task": "a:b", "args": {}}
    jobs = [good, {**good, "options": {"priority": 101}}, {**good, "task": "no name"}, good]
    answer = client.post("/v1/jobs:bulk", json=jobs)
    assert answer.status_code == 200
    items = answer.json()
    assert [item["problem"] and item["problem"]["field"] for item in items] == [
        *(None, "priority", "task", None)
    ]
    assert [bool(item["id"]) for item in items] == [True, False, False, True]
    too_many = client.post("/v1/jobs:bulk", json=[good] * 5_001)
    assert problem_of(too_many)["field"] == "jobs"
    assert client.post("/v1/jobs:bulk", json=[]).json() == []


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/v1/jobs/job_0000000000001", 404),
        ("GET", "/v1/jobs/nonsense", 422),
        ("GET", "/v1/jobs/job_0000000000001?wait=x", 422),
        ("GET", "/v1/jobs/job_0000000000001?wait=-1", 422),
        ("GET", "/v1/jobs/job_0000000000001?wait=nan", 422),
        ("GET", "/v1/jobs/job_0000000000001?wait=100000", 422),
        ("POST", "/v1/jobs/job_0000000000001:cancel", 404),
        ("POST", "/v1/jobs/job_0000000000001:retry", 404),
        ("POST", "/v1/jobs/nonsense:cancel", 422),
        ("POST", "/v1/jobs/job_0000000000001:explode", 405),
        ("DELETE", "/v1/jobs", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/jobs?state=redy", 422),
        ("GET", "/v1/jobs?limit=0", 422),
        ("GET", "/v1/jobs?limit=x", 422),
        ("GET", "/v1/jobs?cursor=nonsense", 422),
        ("GET", "/v1/jobs?created_after=yesterday", 422),
        ("GET", "/v1/jobs?quue=mail", 422),
    ],
)
def test_a_wrong_path_or_query_is_refused(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status, answer.text
    problem_of(answer)


def test_lists_filter_and_page(client: httpx.Client) -> None:
    for _ in range(3):
        options = {"queue": "paged", "tags": ["red"]}
        client.post("/v1/jobs", json={"task": "p:q", "args": {}, "options": options})
    query = {"queue": "paged", "task": "p:q", "tag": "red", "state": "ready", "limit": "2"}
    first = client.get("/v1/jobs", params=query).json()
    second = client.get("/v1/jobs", params={**query, "cursor": first["cursor"]}).json()
    ids = [job["id"] for job in first["jobs"] + second["jobs"]]
    assert len(set(ids)) == 3
    assert ids == sorted(ids, reverse=True)
    assert second["cursor"] is None


def test_a_long_poll_ends_with_the_job_or_its_time(client: httpx.Client) -> None:
    made = client.post("/v1/jobs", json={"task": "a:b", "args": {}}).json()["id"]
    assert client.get(f"/v1/jobs/{made}?wait=0.05").json()["state"] == "ready"
    cancelled = client.post(f"/v1/jobs/{made}:cancel", json={"reason": "enough"})
    assert cancelled.json() == {"id": made, "state": "cancelled", "requested": False}
    assert client.get(f"/v1/jobs/{made}?wait=30").json()["state"] == "cancelled"
    retried = client.post(f"/v1/jobs/{made}:retry")
    assert retried.json() == {"id": made, "deduplicated": False}
    assert client.post(f"/v1/jobs/{made}:retry").status_code == 409


@pytest.mark.parametrize("header", [None, "Bearer nonsense", "Basic abc", "Bearer"])
def test_without_a_good_key_nothing_is_answered(client: httpx.Client, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for method, path in (("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("POST", "/v1/jobs:bulk")):
        answer = httpx.request(method, f"{client.base_url}{path}", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        problem_of(answer)


def test_the_operator_needs_no_key(client: httpx.Client) -> None:
    for path in ("/", "/healthz", "/readyz", "/metrics"):
        assert httpx.get(f"{client.base_url}{path}").status_code == 200
