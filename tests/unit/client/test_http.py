"""The road over HTTP against a server made of a function: what is sent, repeated and understood."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import msgspec
import pytest
from attrs import evolve

from taskforge_client.errors import (
    Forbidden,
    InvalidRequest,
    KeyReused,
    NotConfigured,
    NotFound,
    RateLimited,
    ResultTimeout,
    TaskForgeError,
    TooLarge,
    Unauthenticated,
    Unreachable,
)
from taskforge_client.transport.base import OutgoingJob
from taskforge_client.transport.http import MSGPACK, HttpTransport
from taskforge_client.transport.retrying import NeverSent, Patience
from taskforge_client.wire.codec import decode_msgpack, encode_json, encode_msgpack
from taskforge_client.wire.jobs import (
    BulkItem,
    CancelAnswer,
    CancelRequest,
    Enqueued,
    JobOptions,
    JobSpec,
    JobView,
    RetryRequest,
)
from taskforge_client.wire.policies import UniquePolicy
from taskforge_client.wire.problems import STATUS_BY_CODE, Problem, ProblemCode
from taskforge_client.wire.states import JobState

pytestmark = pytest.mark.unit
Answer = Callable[[httpx.Request], httpx.Response]
JOB = OutgoingJob("shop:charge", b"\x80", JobOptions())
STORED = Enqueued(id="job_0000000000001")
VIEW = JobView(
    id="job_0000000000001",
    task="shop:charge",
    queue="default",
    state=JobState.RUNNING,
    priority=0,
    attempt=1,
    max_attempts=5,
    created_at=datetime(2026, 11, 24, tzinfo=UTC),
)


class Server:
    """Answers with each of `answers` in turn, the last one for ever."""

    def __init__(self, *answers: Answer | httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)

    def transport(self, api_key: str | None = "tf_key", attempts: int = 4) -> HttpTransport:
        return HttpTransport(
            "http://forge/",
            api_key,
            patience=Patience(attempts=attempts, sleep=self._sleep),
            client=lambda: httpx.AsyncClient(transport=httpx.MockTransport(self)),
        )

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    @property
    def asked(self) -> list[str]:
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.requests]


def ok(value: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, content=encode_msgpack(value), headers={"Content-Type": MSGPACK})


def problem(code: ProblemCode, **headers: str) -> httpx.Response:
    body = Problem(code=code, title="No", status=STATUS_BY_CODE[code], detail="too odd")
    return httpx.Response(
        STATUS_BY_CODE[code],
        content=encode_json(body),
        headers={"Content-Type": "application/problem+json", **headers},
    )


async def test_a_send_is_one_request_with_key_and_idempotency_key() -> None:
    server = Server(ok(STORED, 201))
    road = server.transport()
    assert await road.enqueue(JOB) == STORED
    (request,) = server.requests
    assert server.asked == ["POST /v1/jobs"]
    assert request.headers["Authorization"] == "Bearer tf_key"
    assert request.headers["Content-Type"] == request.headers["Accept"] == MSGPACK
    assert len(request.headers["Idempotency-Key"]) == 32
    spec = decode_msgpack(request.content, JobSpec, refuse_unknown=True)
    assert spec == JobSpec(task="shop:charge", payload=b"\x80")
    await road.aclose()
    await road.aclose()


async def test_the_jobs_own_key_is_the_idempotency_key() -> None:
    server = Server(ok(evolve(STORED, deduplicated=True)))
    answer = await server.transport().enqueue(evolve_options(key="order-42"))
    assert answer.deduplicated
    assert server.requests[0].headers["Idempotency-Key"] == "order-42"


def evolve_options(**options: object) -> OutgoingJob:
    return OutgoingJob(JOB.task, JOB.payload, JobOptions(**options))  # type: ignore[arg-type]


async def test_without_an_api_key_none_is_sent() -> None:
    server = Server(ok(VIEW))
    await server.transport(api_key=None).view(VIEW.id)
    assert "Authorization" not in server.requests[0].headers


async def test_an_unanswered_send_is_repeated_with_the_same_key() -> None:
    server = Server(
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("gone"),
        problem(ProblemCode.UNAVAILABLE),
        ok(evolve(STORED, deduplicated=True)),
    )
    answer = await server.transport().enqueue(JOB)
    keys = {request.headers["Idempotency-Key"] for request in server.requests}
    assert (len(server.requests), len(keys), len(server.waits)) == (4, 1, 3)
    assert not answer.deduplicated, "what we ourselves stored before is no other's job"
    assert all(0 <= wait <= 5 for wait in server.waits)


async def test_only_the_jobs_own_uniqueness_deduplicates() -> None:
    server = Server(ok(evolve(STORED, deduplicated=True)))
    unique = evolve_options(unique=UniquePolicy(key=b"x"))
    assert (await server.transport().enqueue(unique)).deduplicated


async def test_patience_ends() -> None:
    server = Server(httpx.ReadError("gone"))
    with pytest.raises(Unreachable, match="http://forge did not answer"):
        await server.transport().enqueue(JOB)
    assert len(server.requests) == 4


async def test_a_server_that_asks_to_wait_is_heard() -> None:
    server = Server(
        problem(ProblemCode.RATE_LIMITED, **{"Retry-After": "7"}),
        problem(ProblemCode.UNAVAILABLE, **{"Retry-After": "900"}),
        problem(ProblemCode.UNAVAILABLE, **{"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
        ok(STORED),
    )
    await server.transport().enqueue(JOB)
    assert 7 <= server.waits[0] <= 12
    assert 60 <= server.waits[1] <= 65
    assert server.waits[2] <= 5
    refused = Server(problem(ProblemCode.RATE_LIMITED, **{"Retry-After": "3"}))
    with pytest.raises(RateLimited) as limited:
        await refused.transport(attempts=1).enqueue(JOB)
    assert limited.value.retry_after_seconds == 3.0


@pytest.mark.parametrize(
    "code, kind",
    [
        (ProblemCode.INVALID_REQUEST, InvalidRequest),
        (ProblemCode.UNAUTHENTICATED, Unauthenticated),
        (ProblemCode.FORBIDDEN, Forbidden),
        (ProblemCode.NOT_FOUND, NotFound),
        (ProblemCode.KEY_REUSED, KeyReused),
        (ProblemCode.TOO_LARGE, TooLarge),
    ],
)
async def test_a_refusal_is_raised_at_once(code: ProblemCode, kind: type[TaskForgeError]) -> None:
    server = Server(problem(code))
    with pytest.raises(kind, match="too odd"):
        await server.transport().enqueue(JOB)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "response, words",
    [
        (httpx.Response(500, text="<html>oops"), "answered 500 without a reason"),
        (httpx.Response(404, text="nginx"), "answered 404 without a reason"),
        (httpx.Response(200, text="<html>hello"), "not TaskForge's"),
        (httpx.Response(200, json={"odd": 1}), "not TaskForge's"),
        (problem(ProblemCode.INTERNAL), "too odd"),
    ],
)
async def test_an_answer_that_makes_no_sense_says_so(response: httpx.Response, words: str) -> None:
    with pytest.raises(TaskForgeError, match=words):
        await Server(response).transport(attempts=1).view(VIEW.id)


async def test_a_refusal_behind_a_gateways_status_is_unreachable() -> None:
    body = encode_json(Problem(code=ProblemCode.CONFLICT, title="No", status=503))
    with pytest.raises(Unreachable):
        await Server(httpx.Response(503, content=body)).transport(attempts=1).view(VIEW.id)


async def test_many_are_answered_one_by_one() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        specs = decode_msgpack(request.content, list[JobSpec], refuse_unknown=True)
        keys = [spec.options.key for spec in specs]
        assert keys[1] == "mine"
        assert keys[0] is not None
        assert keys[0].endswith("-0")
        refusal = Problem(code=ProblemCode.KEY_REUSED, title="No", status=409)
        return ok(
            [
                BulkItem(id="job_0000000000001", deduplicated=True),
                BulkItem(id="job_0000000000002", deduplicated=True),
                BulkItem(problem=refusal),
            ]
        )

    server = Server(answer)
    jobs = [JOB, evolve_options(key="mine"), JOB]
    first, second, third = await server.transport().enqueue_many(jobs)
    assert server.asked == ["POST /v1/jobs:bulk"]
    assert first == Enqueued(id="job_0000000000001")
    assert second == Enqueued(id="job_0000000000002", deduplicated=True)
    assert isinstance(third, Problem)


@pytest.mark.parametrize("items", [[], [BulkItem()]])
async def test_half_an_answer_to_many_is_no_answer(items: list[BulkItem]) -> None:
    with pytest.raises(Unreachable):
        await Server(ok(items)).transport(attempts=1).enqueue_many([JOB])


async def test_waiting_asks_again_until_the_end() -> None:
    done = evolve(VIEW, state=JobState.SUCCEEDED)
    server = Server(ok(VIEW), ok(VIEW), ok(done))
    assert await server.transport().join(VIEW.id, None) == done
    assert server.asked == [f"GET /v1/jobs/{VIEW.id}?wait=30.000"] * 3


async def test_waiting_ends_in_time() -> None:
    server = Server(ok(VIEW))
    with pytest.raises(ResultTimeout, match="running"):
        await server.transport().join(VIEW.id, 0)
    assert server.asked == [f"GET /v1/jobs/{VIEW.id}?wait=0.000"]


async def test_a_cancellation_carries_its_reason() -> None:
    answered = CancelAnswer(id=VIEW.id, state=JobState.RUNNING, requested=True)
    server = Server(httpx.ReadError("gone"), ok(answered))
    assert await server.transport().cancel(VIEW.id, "enough") == answered
    assert server.asked == [f"POST /v1/jobs/{VIEW.id}:cancel"] * 2
    sent = decode_msgpack(server.requests[0].content, CancelRequest)
    assert sent == CancelRequest(reason="enough")


async def test_a_retry_is_repeated_only_if_it_never_left() -> None:
    server = Server(httpx.ConnectError("refused"), ok(STORED))
    assert await server.transport().retry(VIEW.id, b"\x80") == STORED
    sent = decode_msgpack(server.requests[1].content, RetryRequest)
    assert sent == RetryRequest(payload=b"\x80")
    lost = Server(httpx.ReadError("gone"), ok(STORED))
    with pytest.raises(Unreachable):
        await lost.transport().retry(VIEW.id)
    assert len(lost.requests) == 1


async def test_nobody_there_is_said_with_the_address() -> None:
    with pytest.raises(NeverSent, match="nobody answers at http://forge"):
        await Server(httpx.ConnectError("refused")).transport().view(VIEW.id)
    with pytest.raises(NotConfigured, match="can't be used"):
        await Server(httpx.UnsupportedProtocol("odd")).transport().view(VIEW.id)


async def test_json_answers_are_read_too() -> None:
    response = httpx.Response(
        200,
        content=json.dumps({**msgspec.json.decode(encode_json(VIEW)), "of_tomorrow": 1}),
        headers={"Content-Type": "application/json"},
    )
    assert await Server(response).transport().view(VIEW.id) == VIEW
