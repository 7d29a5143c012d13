"""Jobs: enqueue, show, wait, list, cancel, retry."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from attrs import evolve

from taskforge_client.errors import InvalidRequest, Refused, ResultTimeout, TooLarge
from taskforge_client.transport.base import OutgoingJob
from taskforge_client.values import DECODER, ENCODER, JSON_DECODER
from taskforge_client.wire.ids import job_number
from taskforge_client.wire.jobs import (
    CancelAnswer,
    Encoding,
    Enqueued,
    JobSpec,
    JobView,
    RetryRequest,
)
from taskforge_client.wire.limits import (
    check_options,
    check_payload_size,
    check_task_name,
    queue_name,
)
from taskforge_client.wire.lists import LARGEST_PAGE, JobFilter, JobPage
from taskforge_client.wire.problems import (
    STATUS_BY_CODE,
    MalformedValue,
    Problem,
    ProblemCode,
)
from taskforge_server.operations.caller import Caller
from taskforge_server.operations.names import nothing_named
from taskforge_server.storage import job_list, queues

MOST_JOBS: Final = 5_000
LONGEST_WAIT_SECONDS: Final = 60.0


async def enqueue(caller: Caller, spec: JobSpec) -> Enqueued:
    """Store one job; raises `InvalidRequest`, `TooLarge`, `KeyReused`, `NotFound` (a parent)."""
    return await caller.transport.enqueue(outgoing(spec))


async def enqueue_many(caller: Caller, specs: Sequence[JobSpec]) -> list[Enqueued | Problem]:
    """Store many jobs and answer each by itself, in order: stored, or refused with its problem."""
    if len(specs) > MOST_JOBS:
        raise InvalidRequest.because(
            "jobs", f"there are {len(specs):,}", f"at most {MOST_JOBS:,} in one request"
        )
    answers: list[Enqueued | Problem | None] = [None] * len(specs)
    jobs: list[OutgoingJob] = []
    places: list[int] = []
    for place, spec in enumerate(specs):
        try:
            jobs.append(outgoing(spec))
            places.append(place)
        except Refused as error:
            answers[place] = error.problem
    if jobs:
        stored = await caller.transport.enqueue_many(jobs)
        for place, answer in zip(places, stored, strict=True):
            answers[place] = answer
    return [answer for answer in answers if answer is not None]


async def show(caller: Caller, identifier: str) -> JobView:
    """Return a job as it stands now; raises `NotFound`."""
    check_id(identifier)
    return await caller.transport.view(identifier)


async def wait(caller: Caller, identifier: str, seconds: float) -> JobView:
    """Return a job when it is final, or as it stands when the seconds (at most 60) are over."""
    check_id(identifier)
    if not 0 <= seconds <= LONGEST_WAIT_SECONDS:
        raise InvalidRequest.because(
            "wait", f"{seconds:g} is out of range", f"seconds from 0 to {LONGEST_WAIT_SECONDS:g}"
        )
    try:
        return await caller.transport.join(identifier, seconds)
    except ResultTimeout:
        return await caller.transport.view(identifier)


async def list_jobs(caller: Caller, wanted: JobFilter) -> JobPage:
    """Return one page of jobs, the newest first."""
    check_limit(wanted.limit)
    try:
        return await job_list.list_jobs(caller.database, caller.project, wanted)
    except MalformedValue as error:
        raise InvalidRequest(evolve(error.as_problem(), field="cursor")) from None


async def cancel(caller: Caller, identifier: str, reason: str = "") -> CancelAnswer:
    """Cancel a job that has not started, or ask its worker to stop it."""
    check_id(identifier)
    return await caller.transport.cancel(identifier, reason or "cancelled by request")


async def retry(caller: Caller, identifier: str, request: RetryRequest | None = None) -> Enqueued:
    """Run a job that ended badly once more; with other arguments that is a new job."""
    check_id(identifier)
    asked = request or RetryRequest()
    payload = asked.payload
    if asked.args is not None:
        if payload is not None:
            raise InvalidRequest.because("args", "stands beside a payload", "one of the two")
        payload = encode_arguments(asked.args)
    elif payload is not None:
        _check_payload(payload, Encoding.MSGPACK)
    return await caller.transport.retry(identifier, payload)


async def known_tasks(caller: Caller) -> list[str]:
    """Return names of tasks that jobs were sent for lately."""
    return await job_list.known_tasks(caller.database, caller.project)


def outgoing(spec: JobSpec) -> OutgoingJob:
    """Return the job to send for a spec, checked as the client checks its own.

    Raises:
        InvalidRequest: a field is wrong, or the payload is no map of arguments.
        TooLarge: the payload is above the limit.
    """
    try:
        check_task_name(spec.task)
        options = spec.options
        lowered = queue_name(options.queue)
        if lowered != options.queue:
            options = evolve(options, queue=lowered)
        check_options(options)
    except MalformedValue as error:
        raise InvalidRequest(error.as_problem()) from None
    if (spec.args is None) == (spec.payload is None):
        raise InvalidRequest.because(
            "args",
            "stands beside a payload" if spec.args is not None else "is missing",
            "exactly one of args (plain values) and payload (encoded)",
        )
    if spec.args is not None:
        return OutgoingJob(spec.task, encode_arguments(spec.args), options)
    payload = spec.payload or b""
    _check_payload(payload, spec.encoding)
    return OutgoingJob(spec.task, payload, options, spec.encoding)


def encode_arguments(arguments: dict[str, Any]) -> bytes:
    """Return named arguments as MessagePack; raises `TooLarge`."""
    payload = ENCODER.encode(arguments)
    _check_size(payload)
    return payload


def check_id(identifier: str) -> None:
    """Refuse what can't be a job's id."""
    try:
        job_number(identifier)
    except MalformedValue as error:
        raise InvalidRequest(error.as_problem()) from None


def check_limit(limit: int) -> None:
    """Refuse a page of no or too many entries."""
    if not 1 <= limit <= LARGEST_PAGE:
        raise InvalidRequest.because(
            "limit", f"{limit} is out of range", f"a whole number from 1 to {LARGEST_PAGE}"
        )


def _check_payload(payload: bytes, encoding: Encoding) -> None:
    _check_size(payload)
    decoder = JSON_DECODER if encoding is Encoding.JSON else DECODER
    try:
        decoded = decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise InvalidRequest.because(
            "payload", f"it can't be read as {encoding.value}: {error}", "a map of named arguments"
        ) from None
    if not isinstance(decoded, dict):
        raise InvalidRequest.because(
            "payload", f"it holds {type(decoded).__name__}", "a map of named arguments"
        )


def _check_size(payload: bytes) -> None:
    try:
        check_payload_size(len(payload))
    except MalformedValue as error:
        code = ProblemCode.TOO_LARGE
        raise TooLarge(
            evolve(
                error.as_problem(),
                code=code,
                status=STATUS_BY_CODE[code],
                title="The payload is above the limit",
            )
        ) from None


async def refuse_unknown_names(
    caller: Caller, *, queue: str | None = None, task: str | None = None
) -> None:
    """Raise `NotFound`, naming the nearest, for a queue or task that nothing was ever sent to.

    Asked after an empty answer, to tell a mistyped name from nothing to show.
    """
    if queue is not None:
        names = [known.name for known in await queues.list_queues(caller.database, caller.project)]
        if queue.lower() not in names:
            raise nothing_named("queue", queue, names)
    if task is not None:
        names = await known_tasks(caller)
        if task not in names:
            raise nothing_named("task", task, names)
