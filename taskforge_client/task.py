"""Tasks and invocations: what ``@task`` makes of a function.

A task is still its function when called. It can be sent (`enqueue`), bound to arguments (`bind`),
and copied with other options (`using`), another app (`via`) or the caller's transaction (`within`).
It changes in place once at most, when the first app includes it.
"""

from collections.abc import Callable, Coroutine
from copy import copy
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, Unpack

from attrs import evolve, frozen

from taskforge_client.arguments import Arguments
from taskforge_client.errors import InvalidRequest, NotConfigured, TaskWithoutApp, TooLarge
from taskforge_client.handles import JobHandle, checked_id
from taskforge_client.options import (
    Execution,
    Prepared,
    SendOptions,
    prepare_send,
)
from taskforge_client.retry import Retry
from taskforge_client.schedules import When
from taskforge_client.sender import Sender
from taskforge_client.transport.base import OutgoingJob
from taskforge_client.values import ENCODER
from taskforge_client.wire.jobs import Encoding, Enqueued, JobOptions
from taskforge_client.wire.limits import PAYLOAD_LIMIT_BYTES
from taskforge_client.wire.problems import STATUS_BY_CODE, Problem, ProblemCode
from taskforge_client.wire.schedules import ScheduleSpec

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
UNIQUE_KEY_BYTES = 16


class Via(Protocol):
    """An app, as far as a task needs one."""

    @property
    def sender(self) -> Sender:
        """The app's ways out."""
        ...


@frozen(kw_only=True)
class Definition:
    """What a decorator stated, shared by all copies of a task.

    `function` is None for a task known by name alone.
    """

    name: str
    arguments: Arguments
    function: Callable[..., Any] | None = None
    aliases: tuple[str, ...] = ()
    is_async: bool = False
    execution: Execution | None = None
    concurrency: int | None = None
    schedule: When | None = None
    retry: Retry | None = None
    store_result: bool = True


class Task(Generic[P, R_co]):
    """A function that can be sent. Made by ``@app.task``, ``@task`` or `TaskForge.named`."""

    def __init__(
        self, definition: Definition, prepared: Prepared, sender: Sender | None = None
    ) -> None:
        self._definition = definition
        self._sender = sender
        self._connection: object = None
        self._prepare(prepared)

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    # -- sending -------------------------------------------------------------------------------

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> "Invocation[R_co]":
        """Return the task with these arguments, unsent.

        They are checked and encoded when it is sent.
        """
        return Invocation(self, args, kwargs)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R_co]:
        """Send the task with these arguments and wait until the job is stored.

        Raises:
            InvalidRequest: the call does not fit the task, or an argument does not fit its
                annotation.
            TooLarge: the encoded arguments are above the limit.
            KeyReused: the key already names a job with other arguments.
            Unreachable: nobody answered.
            UseAwait: an event loop runs in this thread.
        """
        return self._enqueue(args, kwargs, self._connection)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R_co]:
        """Send the task with these arguments, as `enqueue`, from a running event loop."""
        return await self._aenqueue(args, kwargs, self._connection)

    def using(self, **options: Unpack[SendOptions]) -> Self:
        """Return a copy that is sent with these options.

        What was set before stays unless it is set again.
        """
        twin = copy(self)
        twin._prepare(prepare_send(self._prepared, options))  # noqa: SLF001  our own copy
        return twin

    def within(self, connection: object) -> Self:
        """Return a copy that is sent in a transaction of the caller's own.

        `connection` is an open psycopg connection (blocking or not), or a SQLAlchemy or Django one
        over psycopg. The job is there once the transaction commits, and never was if it rolls back.
        """
        twin = copy(self)
        twin.__dict__["_connection"] = connection
        return twin

    def via(self, app: Via) -> Self:
        """Return a copy that is sent through another app."""
        twin = copy(self)
        twin.__dict__["_sender"] = app.sender
        return twin

    def job(self, identifier: str) -> JobHandle[R_co]:
        """Return a handle on a job of this task by its public id.

        Whether it exists is found out by using it.
        """
        decode = self._definition.arguments.decode_result
        return JobHandle(self.sender, checked_id(identifier), decode)

    # -- what the decorator stated -------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name it is sent by."""
        return self._definition.name

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names it answers to in a worker."""
        return self._definition.aliases

    @property
    def options(self) -> JobOptions:
        """The options its jobs are sent with."""
        return self._prepared.options

    @property
    def is_async(self) -> bool:
        """Whether the function is an ``async def``."""
        return self._definition.is_async

    @property
    def execution(self) -> Execution | None:
        """Where a worker runs it, None where the decorator leaves that to the worker."""
        return self._definition.execution

    @property
    def concurrency(self) -> int | None:
        """How many may run at once in one worker process; None: as many as the worker has slots."""
        return self._definition.concurrency

    @property
    def schedule(self) -> When | None:
        """When it runs by itself, None for never."""
        return self._definition.schedule

    @property
    def retry(self) -> Retry | None:
        """Its retry policy, None for the usual one."""
        return self._definition.retry

    @property
    def dead_letters(self) -> bool:
        """Whether its finally failed jobs go to the dead letters."""
        return self._prepared.options.dead_letters

    @property
    def store_result(self) -> bool:
        """Whether what it returns is stored."""
        return self._definition.store_result

    def adopt(self, sender: Sender) -> None:
        """Let a task without an app be sent by this way out (called by `TaskForge.include`)."""
        if self._sender is None:
            self._sender = sender

    @property
    def sender(self) -> Sender:
        """The way out of the app it belongs to; raises `TaskWithoutApp`."""
        if self._sender is None:
            raise TaskWithoutApp(
                f"{self.name} belongs to no app yet: call app.include(…) or task.via(app) first"
            )
        return self._sender

    # -- for workers ---------------------------------------------------------------------------

    @property
    def function(self) -> Callable[..., Any]:
        """The decorated function; raises `NotConfigured` for a task known by name alone."""
        if self._definition.function is None:
            raise NotConfigured(f"{self.name} is known by name alone: its code is not here")
        return self._definition.function

    @property
    def target(self) -> Callable[..., Any]:
        """The function in a form that takes every argument by name."""
        return self._definition.arguments.adapt()

    def decode_arguments(self, payload: bytes, encoding: Encoding) -> dict[str, Any]:
        """Return a job's arguments by name.

        Raises `InvalidRequest` with a reason for the dead letters.
        """
        return self._definition.arguments.decode(payload, encoding)

    def encode_result(self, value: object) -> bytes | None:
        """Return what the function returned as MessagePack, None where results are not stored.

        Raises:
            InvalidRequest: the value can't be encoded.
        """
        if not self._definition.store_result:
            return None
        try:
            return ENCODER.encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidRequest.because(
                "result", f"{self.name}: {error}", "a value that can be sent, or store_result=False"
            ) from None

    def decode_result(self, result: bytes) -> R_co:
        """Return a stored result as the return annotation says."""
        decoded: R_co = self._definition.arguments.decode_result(result)
        return decoded

    def schedule_spec(self) -> ScheduleSpec | None:
        """Return the task's schedule for the wire, None when it has none."""
        when = self._definition.schedule
        if when is None:
            return None
        return ScheduleSpec(
            name=self.name,
            kind=when.kind,
            task=self.name,
            expression=when.expression,
            interval_seconds=when.interval_seconds,
            timezone=when.timezone,
            misfire=when.misfire,
            overlap=when.overlap,
            options=self.options,
        )

    def encode_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OutgoingJob:
        """Return a job ready to be sent: arguments bound, checked, encoded and below the limit."""
        if self._prepared.unique is not None:
            return self._encode_unique(args, kwargs)
        payload = self._encode(args, kwargs)
        if len(payload) > PAYLOAD_LIMIT_BYTES:
            raise _too_large(self._name, len(payload))
        return OutgoingJob(self._name, payload, self._options)

    # -- inside --------------------------------------------------------------------------------

    def _prepare(self, prepared: Prepared) -> None:
        self._prepared = prepared
        # What every job of this copy needs, looked up once for the sake of bulk sends.
        self._name = self._definition.name
        self._options = prepared.options
        self._encode = self._definition.arguments.encode

    def _encode_unique(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OutgoingJob:
        from hashlib import blake2b

        unique = self._prepared.unique
        arguments = self._definition.arguments
        payload = self._encode(args, kwargs)
        if len(payload) > PAYLOAD_LIMIT_BYTES:
            raise _too_large(self._name, len(payload))
        if unique is None:
            return OutgoingJob(self._name, payload, self._options)
        piece = arguments.select(arguments.bind(args, kwargs), unique.names())
        digest = blake2b(self._name.encode(), digest_size=UNIQUE_KEY_BYTES)
        digest.update(b"\0" + ENCODER.encode(piece))
        policy = unique.policy(digest.digest())
        return OutgoingJob(self._name, payload, evolve(self._options, unique=policy))

    def _enqueue(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], connection: object
    ) -> JobHandle[R_co]:
        sender = self.sender
        job = self.encode_call(args, kwargs)
        if connection is None:
            return self._handle(sender, sender.enqueue(job))
        return self._handle(sender, sender.enqueue_within(connection, [job])[0])

    async def _aenqueue(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], connection: object
    ) -> JobHandle[R_co]:
        sender = self.sender
        job = self.encode_call(args, kwargs)
        if connection is None:
            return self._handle(sender, await sender.aenqueue(job))
        return self._handle(sender, (await sender.aenqueue_within(connection, [job]))[0])

    def _handle(self, sender: Sender, enqueued: Enqueued) -> JobHandle[R_co]:
        return JobHandle(
            sender,
            enqueued.id,
            self._definition.arguments.decode_result,
            deduplicated=enqueued.deduplicated,
        )


class SyncTask(Task[P, R_co]):
    """A task made of a plain function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the function here and now, as if it were not decorated."""
        result: R_co = self.function(*args, **kwargs)
        return result


class AsyncTask(Task[P, R_co]):
    """A task made of a coroutine function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Return the function's coroutine, to await here and now, as if it were not decorated."""
        coroutine: Coroutine[Any, Any, R_co] = self.function(*args, **kwargs)
        return coroutine


AnyTask = Task[Any, Any]


class Invocation(Generic[R_co]):
    """A task with its arguments, unsent: for `enqueue_many`, `spawn`, or its own `enqueue`."""

    __slots__ = ("_args", "_kwargs", "task")

    def __init__(
        self, task: Task[Any, R_co], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.task = task
        self._args = args
        self._kwargs = kwargs

    def __repr__(self) -> str:
        return f"<invocation of {self.task.name}>"

    def encode(self) -> OutgoingJob:
        """Return the job with its arguments checked and encoded."""
        return self.task.encode_call(self._args, self._kwargs)

    def enqueue(self, *, within: object = None) -> JobHandle[R_co]:
        """Send it and wait until the job is stored, or put it into the transaction of `within`."""
        return self.task._enqueue(self._args, self._kwargs, self._connection(within))  # noqa: SLF001

    async def aenqueue(self, *, within: object = None) -> JobHandle[R_co]:
        """Send it, as `enqueue`, from a running event loop."""
        return await self.task._aenqueue(  # noqa: SLF001
            self._args, self._kwargs, self._connection(within)
        )

    def run(self) -> Any:
        """Call the task's function with the arguments here and now.

        A coroutine function gives its coroutine.
        """
        return self.task.function(*self._args, **self._kwargs)

    def _connection(self, within: object) -> object:
        return self.task._connection if within is None else within  # noqa: SLF001


def _too_large(name: str, size: int) -> TooLarge:
    return TooLarge(
        Problem(
            code=ProblemCode.TOO_LARGE,
            title="The payload is above the limit",
            status=STATUS_BY_CODE[ProblemCode.TOO_LARGE],
            field="payload",
            detail=f"the arguments of {name} take {size:,} bytes of {PAYLOAD_LIMIT_BYTES:,}",
            hint="store the data elsewhere and send a reference to it",
        )
    )
