"""The road over HTTP: one request a verb, MessagePack both ways, an API key for who we are.

A send carries an idempotency key, its own or one made for the call, so that a request whose answer
was lost can be repeated without storing the job twice.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar
from uuid import uuid4

import httpx
from attrs import evolve

from taskforge_client.errors import (
    NotConfigured,
    RateLimited,
    Refused,
    ResultTimeout,
    TaskForgeError,
    Unreachable,
    from_problem,
)
from taskforge_client.transport.base import OutgoingJob
from taskforge_client.transport.retrying import NeverSent, Patience
from taskforge_client.wire.codec import decode_json, decode_msgpack, encode_msgpack
from taskforge_client.wire.jobs import (
    BulkItem,
    CancelAnswer,
    CancelRequest,
    Enqueued,
    JobSpec,
    JobView,
    RetryRequest,
)
from taskforge_client.wire.problems import MalformedValue, Problem
from taskforge_client.wire.version import PROTOCOL

T = TypeVar("T")
MSGPACK: Final = "application/msgpack"
LONG_POLL_SECONDS: Final = 30.0
TIMEOUT_SECONDS: Final = 20.0
UNAVAILABLE_STATUSES: Final = frozenset({502, 503, 504})
TOO_MANY_REQUESTS: Final = 429
_FIRST_ERROR: Final = 400


class HttpTransport:
    """`Transport` over HTTP; `patience` says how calls that did not get through are repeated."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        patience: Patience | None = None,
        client: Callable[[], httpx.AsyncClient] | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._api_key = api_key
        self._patience = patience or Patience()
        self._make_client = client or httpx.AsyncClient
        self._client: httpx.AsyncClient | None = None

    async def enqueue(self, job: OutgoingJob) -> Enqueued:
        """Store one job durably."""
        spec = _spec(job, job.options.key)
        answer = await self._call(
            "POST",
            "/v1/jobs",
            Enqueued,
            body=spec,
            headers={"Idempotency-Key": job.options.key or uuid4().hex},
        )
        return _own_answer(job, answer)

    async def enqueue_many(self, jobs: Sequence[OutgoingJob]) -> Sequence[Enqueued | Problem]:
        """Store a chunk; each job without a key gets one of this call.

        So that it can be repeated.
        """
        call = uuid4().hex
        specs = [
            _spec(job, job.options.key or f"{call}-{position}") for position, job in enumerate(jobs)
        ]
        answers = await self._call("POST", "/v1/jobs:bulk", list[BulkItem], body=specs)
        if len(answers) != len(jobs):
            raise Unreachable(f"{self._url} answered {len(answers)} of {len(jobs)} jobs")
        return [_item_answer(job, answer) for job, answer in zip(jobs, answers, strict=True)]

    async def view(self, job_id: str) -> JobView:
        """Return a job as it stands now."""
        return await self._call("GET", f"/v1/jobs/{job_id}", JobView)

    async def join(self, job_id: str, timeout_seconds: float | None) -> JobView:
        """Wait until a job is final, by requests that the server answers late."""
        clock = asyncio.get_running_loop().time
        until = None if timeout_seconds is None else clock() + timeout_seconds
        while True:
            left = LONG_POLL_SECONDS if until is None else max(0.0, until - clock())
            view = await self._wait(job_id, min(left, LONG_POLL_SECONDS))
            if view.state.is_final:
                return view
            if until is not None and clock() >= until:
                raise ResultTimeout(
                    f"{job_id} is {view.state.value} after {timeout_seconds:g} s of waiting"
                )

    async def cancel(self, job_id: str, reason: str) -> CancelAnswer:
        """Cancel a job that has not started, or ask its worker to stop it."""
        body = CancelRequest(reason=reason)
        return await self._call("POST", f"/v1/jobs/{job_id}:cancel", CancelAnswer, body=body)

    async def retry(self, job_id: str, payload: bytes | None = None) -> Enqueued:
        """Run a job once more; with `payload` as a new job. Repeated only if it never left."""
        body = RetryRequest(payload=payload)
        path = f"/v1/jobs/{job_id}:retry"
        return await self._call("POST", path, Enqueued, body=body, is_safe=False)

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _wait(self, job_id: str, seconds: float) -> JobView:
        return await self._call(
            "GET",
            f"/v1/jobs/{job_id}?wait={seconds:.3f}",
            JobView,
            timeout_seconds=seconds + TIMEOUT_SECONDS,
        )

    async def _call(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        body: object = None,
        headers: dict[str, str] | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        is_safe: bool = True,
    ) -> T:
        content = None if body is None else encode_msgpack(body)
        sent = self._headers(has_body=body is not None) | (headers or {})

        async def once() -> T:
            response = await self._request(method, path, content, sent, timeout_seconds)
            return self._read(response, kind)

        return await self._patience.repeat(once, is_safe=is_safe)

    async def _request(
        self,
        method: str,
        path: str,
        content: bytes | None,
        headers: dict[str, str],
        timeout_seconds: float,
    ) -> httpx.Response:
        if self._client is None:
            self._client = self._make_client()
        try:
            return await self._client.request(
                method,
                self._url + path,
                content=content,
                headers=headers,
                timeout=timeout_seconds,
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NeverSent(f"nobody answers at {self._url}: {_words(error)}") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise NotConfigured(f"the URL {self._url!r} can't be used: {error}") from None
        except httpx.HTTPError as error:
            raise Unreachable(f"{self._url} did not answer: {_words(error)}") from error

    def _headers(self, *, has_body: bool) -> dict[str, str]:
        headers = {"Accept": MSGPACK, "TaskForge-Protocol": str(PROTOCOL)}
        if has_body:
            headers["Content-Type"] = MSGPACK
        if self._api_key is not None:
            headers["Authorization"] = f"Bearer {self._api_key}"
        return headers

    def _read(self, response: httpx.Response, kind: type[T]) -> T:
        if response.status_code >= _FIRST_ERROR:
            raise self._error(response)
        try:
            answer: T = _decode(response, kind)
        except MalformedValue as error:
            raise Unreachable(
                f"{self._url} answered something that is not TaskForge's: {error}"
            ) from None
        return answer

    def _error(self, response: httpx.Response) -> TaskForgeError:
        error: TaskForgeError
        try:
            error = from_problem(_decode(response, Problem))
        except MalformedValue:
            error = Unreachable(f"{self._url} answered {response.status_code} without a reason")
        if response.status_code in UNAVAILABLE_STATUSES and isinstance(error, Refused):
            error = Unreachable(str(error))
        if isinstance(error, Unreachable | RateLimited):
            error.retry_after_seconds = _retry_after_seconds(response)
        return error


def _spec(job: OutgoingJob, key: str | None) -> JobSpec:
    options = job.options if key == job.options.key else evolve(job.options, key=key)
    return JobSpec(task=job.task, payload=job.payload, encoding=job.encoding, options=options)


def _own_answer(job: OutgoingJob, answer: Enqueued) -> Enqueued:
    """Return the answer as the application means it: only its own key can have deduplicated."""
    asked = job.options.key is not None or job.options.unique is not None
    return answer if asked or not answer.deduplicated else evolve(answer, deduplicated=False)


def _item_answer(job: OutgoingJob, answer: BulkItem) -> Enqueued | Problem:
    if answer.problem is not None:
        return answer.problem
    if answer.id is None:
        raise Unreachable("a job of a bulk request was answered with neither an id nor a problem")
    return _own_answer(job, Enqueued(id=answer.id, deduplicated=answer.deduplicated))


def _decode(response: httpx.Response, kind: type[Any]) -> Any:
    if "msgpack" in response.headers.get("Content-Type", ""):
        return decode_msgpack(response.content, kind)
    return decode_json(response.content, kind)


def _retry_after_seconds(response: httpx.Response) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None


def _words(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
