"""Routes of jobs."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec
from attrs import evolve
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskforge_client.errors import InvalidRequest
from taskforge_client.wire.jobs import BulkItem, CancelRequest, JobSpec, RetryRequest
from taskforge_client.wire.limits import PAYLOAD_LIMIT_BYTES
from taskforge_client.wire.lists import JobFilter
from taskforge_client.wire.problems import Problem
from taskforge_server.operations import jobs
from taskforge_server.operations.caller import Caller
from taskforge_server.rest.auth import Doorkeeper
from taskforge_server.rest.bodies import answer, read_body

T = TypeVar("T")
# A payload grows by a third as base64 in JSON; the rest is room for options.
ONE_JOB_LIMIT_BYTES: Final = PAYLOAD_LIMIT_BYTES * 4 // 3 + 256 * 1024
BULK_LIMIT_BYTES: Final = 32 * 1024 * 1024
SMALL_LIMIT_BYTES: Final = 64 * 1024
_CREATED: Final = 201
_FOUND: Final = 200
_FILTERS: Final = frozenset({"state", "queue", "task", "tag", "created_after", "limit", "cursor"})

Verb = Callable[[Request, Caller], Awaitable[Response]]


def job_routes(doorkeeper: Doorkeeper) -> list[Route]:
    """Return the routes below ``/v1/jobs``, each behind the doorkeeper."""

    def behind(verb: Verb) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await verb(request, await doorkeeper.admit(request))

        return endpoint

    return [
        Route("/v1/jobs", behind(_enqueue), methods=["POST"]),
        Route("/v1/jobs", behind(_list), methods=["GET"]),
        Route("/v1/jobs:bulk", behind(_enqueue_many), methods=["POST"]),
        Route("/v1/jobs/{id}:cancel", behind(_cancel), methods=["POST"]),
        Route("/v1/jobs/{id}:retry", behind(_retry), methods=["POST"]),
        Route("/v1/jobs/{id}", behind(_show), methods=["GET"]),
    ]


async def _enqueue(request: Request, caller: Caller) -> Response:
    spec = await read_body(request, JobSpec, limit_bytes=ONE_JOB_LIMIT_BYTES)
    key = request.headers.get("idempotency-key")
    if key is not None and spec.options.key is None:
        spec = evolve(spec, options=evolve(spec.options, key=key))
    stored = await jobs.enqueue(caller, spec)
    return answer(
        request,
        stored,
        status=_FOUND if stored.deduplicated else _CREATED,
        headers={"Location": f"/v1/jobs/{stored.id}"},
    )


async def _enqueue_many(request: Request, caller: Caller) -> Response:
    specs = await read_body(request, list[JobSpec], limit_bytes=BULK_LIMIT_BYTES)
    items = [
        BulkItem(problem=one)
        if isinstance(one, Problem)
        else BulkItem(id=one.id, deduplicated=one.deduplicated)
        for one in await jobs.enqueue_many(caller, specs)
    ]
    return answer(request, items)


async def _show(request: Request, caller: Caller) -> Response:
    identifier = request.path_params["id"]
    wait = request.query_params.get("wait")
    if wait is None:
        return answer(request, await jobs.show(caller, identifier))
    seconds = _query(request.query_params, "wait", float)
    return answer(request, await jobs.wait(caller, identifier, seconds or 0.0))


async def _list(request: Request, caller: Caller) -> Response:
    return answer(request, await jobs.list_jobs(caller, _filter(request.query_params)))


async def _cancel(request: Request, caller: Caller) -> Response:
    body = await read_body(
        request, CancelRequest, limit_bytes=SMALL_LIMIT_BYTES, empty=CancelRequest()
    )
    return answer(request, await jobs.cancel(caller, request.path_params["id"], body.reason))


async def _retry(request: Request, caller: Caller) -> Response:
    body = await read_body(
        request, RetryRequest, limit_bytes=ONE_JOB_LIMIT_BYTES, empty=RetryRequest()
    )
    return answer(request, await jobs.retry(caller, request.path_params["id"], body))


def _filter(query: QueryParams) -> JobFilter:
    unknown = sorted(set(query) - _FILTERS)
    if unknown:
        raise InvalidRequest.because(
            unknown[0], "there is no such filter", f"one of {', '.join(sorted(_FILTERS))}"
        )
    given = {name: text for name, text in query.items() if text}
    plain: dict[str, object] = dict(given)
    if "limit" in given:
        plain["limit"] = _query(query, "limit", int)
    try:
        return msgspec.convert(plain, JobFilter)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        raise InvalidRequest.because(
            path.rstrip("`") or "query", text, "a value that the filter takes"
        ) from None


def _query(query: QueryParams, name: str, kind: type[T]) -> T:
    try:
        return msgspec.convert(query[name], kind, strict=False)
    except msgspec.ValidationError:
        raise InvalidRequest.because(name, f"{query[name]!r} is no number", "a number") from None
