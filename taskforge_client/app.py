"""An application's TaskForge: its tasks, its ways out and its workers.

Making one does nothing yet: no I/O, no thread and no connection before the first send.
"""

import os
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, Unpack, overload

from taskforge_client.bulk import BulkReceipt, achunks_of, chunks_of
from taskforge_client.decorate import TaskDecorator, make_task, named_task
from taskforge_client.errors import InvalidRequest, UseAwait
from taskforge_client.handles import JobHandle, checked_id
from taskforge_client.options import TaskOptions
from taskforge_client.queues import Queues
from taskforge_client.registry import Registry
from taskforge_client.resources import AroundFunction, Resource, ResourceFunction, check_around
from taskforge_client.sender import Sender
from taskforge_client.settings import ClientSettings, from_environment
from taskforge_client.task import AsyncTask, Invocation, SyncTask, Task
from taskforge_client.transport.base import Transport
from taskforge_client.transport.choose import open_transport
from taskforge_client.values import DECODER
from taskforge_client.wire.jobs import DEFAULT_QUEUE
from taskforge_client.wire.schedules import ScheduleSpec

if TYPE_CHECKING:  # loaded when a worker is first made
    from taskforge_client.worker.embedded import EmbeddedWorker
    from taskforge_client.worker.source import JobSource

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class TaskForge:
    """One application: define tasks with `task`, send them, and run them in a `worker`.

    `url` says where TaskForge is: ``postgresql://…`` (direct; needs the extra ``postgres``) or
    ``http(s)://…`` with an `api_key`. What is not stated here is read at the first send from
    ``TASKFORGE_URL``, ``TASKFORGE_API_KEY`` and ``TASKFORGE_PROJECT``, then from
    ``taskforge.toml``; without either it is ``taskforge dev`` on this machine.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        project: str | None = None,
        transport: Callable[[], Transport] | None = None,
    ) -> None:
        self._stated = {"url": url, "api_key": api_key, "project": project}
        self._settings: ClientSettings | None = None
        self.sender = Sender(transport or self._open_transport)
        self.tasks: Registry[Task[Any, Any]] = Registry()
        self.resources: list[Resource[Any]] = []
        self.arounds: list[AroundFunction] = []
        self.queues = Queues(self.sender)

    # -- defining ------------------------------------------------------------------------------

    @overload  # a coroutine function is a function too: the first that fits is the one meant
    def task(  # type: ignore[overload-overlap]
        self, f: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def task(self, f: Callable[P, R], /) -> SyncTask[P, R]: ...
    @overload
    def task(self, /, **options: Unpack[TaskOptions]) -> TaskDecorator: ...
    def task(self, f: Any = None, /, **options: Any) -> Any:
        """Make a task of a function; with options: ``@app.task(queue="mail", timeout=30)``.

        Raises:
            InvalidRequest: the function can't be a task, its name is taken, or an option is unknown
                or out of range.
        """
        if f is None:
            return lambda function: self._add(function, options)
        return self._add(f, options)

    def include(self, *sources: ModuleType | Task[Any, Any] | Iterable[Task[Any, Any]]) -> None:
        """Take in tasks made by the module-level ``@task``: single ones, some, or all of a module.

        From then on they are sent through this app, unless another app included them before.
        """
        for source in sources:
            for task in _tasks_of(source):
                self.tasks.add(task)
                task.adopt(self.sender)

    def named(self, name: str) -> Task[..., Any]:
        """Return a task known by name alone, to send what is not imported here.

        ``named("billing:charge")``.
        """
        return named_task(name, self.sender)

    def resource(self, function: ResourceFunction[T], /) -> Resource[T]:
        """Make a resource of a generator function.

        One value a worker process, ``pool.get()`` inside tasks.
        """
        resource = Resource(function)
        self.resources.append(resource)
        return resource

    def around(self, function: AroundFunction, /) -> AroundFunction:
        """Run a generator function of the job round every attempt: it yields once,.

        Where the attempt runs.
        """
        check_around(function)
        self.arounds.append(function)
        return function

    def scheduled(self) -> tuple[ScheduleSpec, ...]:
        """Return the schedules of all tasks that have one."""
        specs = (task.schedule_spec() for task in self.tasks)
        return tuple(spec for spec in specs if spec is not None)

    # -- sending -------------------------------------------------------------------------------

    def enqueue_many(
        self, invocations: Iterable[Invocation[Any]], *, within: object = None
    ) -> BulkReceipt:
        """Send a stream of invocations in chunks, of which few are in memory at a time.

        Each chunk is stored or refused as one; what a chunk's answer refuses job by job stands in
        the receipt. With `within` all of them join the transaction of a blocking connection.

        Raises:
            InvalidRequest: an invocation's arguments don't fit; a note on the error tells how many
                jobs are stored.
            Unreachable: nobody answered; the note tells the same.
            UseAwait: an event loop runs in this thread, or the stream is asynchronous.
        """
        if isinstance(invocations, AsyncIterable):
            raise UseAwait("an asynchronous stream needs a running event loop: await aenqueue_many")
        receipt = BulkReceipt()
        try:
            if within is None:
                self.sender.enqueue_chunks(chunks_of(invocations), receipt.add)
            else:
                for chunk in chunks_of(invocations):
                    receipt.add(chunk, self.sender.enqueue_within(within, chunk))
        except Exception as error:
            _note_stored(error, receipt, within)
            raise
        return receipt

    async def aenqueue_many(
        self,
        invocations: Iterable[Invocation[Any]] | AsyncIterable[Invocation[Any]],
        *,
        within: object = None,
    ) -> BulkReceipt:
        """Send a stream of invocations, as `enqueue_many`, from a running event loop.

        The stream may be asynchronous.
        """
        receipt = BulkReceipt()
        try:
            if within is None:
                await self.sender.aenqueue_chunks(achunks_of(invocations), receipt.add)
            else:
                async for chunk in achunks_of(invocations):
                    receipt.add(chunk, await self.sender.aenqueue_within(within, chunk))
        except Exception as error:
            _note_stored(error, receipt, within)
            raise
        return receipt

    def job(self, identifier: str) -> JobHandle[Any]:
        """Return a handle on a job by its public id; its result comes as plain values."""
        return JobHandle(self.sender, checked_id(identifier), DECODER.decode)

    # -- working -------------------------------------------------------------------------------

    def worker(
        self,
        *,
        queues: str | Iterable[str] | Mapping[str, int] = DEFAULT_QUEUE,
        concurrency: int | None = None,
        grace: float | timedelta | None = None,
        source: "Callable[[], JobSource] | None" = None,
    ) -> "EmbeddedWorker":
        """Return a worker inside this process, for one ``async with`` (or plain ``with``) block.

        It takes jobs of `queues` (a mapping gives weights), at most `concurrency` at once, waits
        for a TaskForge that is away, installs no signal handlers, and at the end of the block
        leaves within `grace`, given in seconds.

        Raises:
            InvalidRequest: a queue's name or weight is wrong.
            NotConfigured: no worker can reach TaskForge by the URL in force.
        """
        from taskforge_client.worker.embedded import embedded_worker

        return embedded_worker(
            self, self.settings, queues=queues, concurrency=concurrency, grace=grace, source=source
        )

    # -- living --------------------------------------------------------------------------------

    @property
    def settings(self) -> ClientSettings:
        """The settings in force, read at the first use."""
        if self._settings is None:
            self._settings = from_environment(os.environ, Path.cwd(), **self._stated)
        return self._settings

    def close(self) -> None:
        """Close what blocking calls opened; the next one opens it again."""
        self.sender.close()

    async def aclose(self) -> None:
        """Close what calls on the running event loop opened, and what blocking calls did."""
        await self.sender.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    # -- inside --------------------------------------------------------------------------------

    def _add(self, function: Any, options: Mapping[str, Any]) -> Any:
        made = make_task(function, options, self.sender)
        self.tasks.add(made)
        return made

    def _open_transport(self) -> Transport:
        return open_transport(self.settings)


def _tasks_of(
    source: ModuleType | Task[Any, Any] | Iterable[Task[Any, Any]],
) -> Iterable[Task[Any, Any]]:
    if isinstance(source, Task):
        return [source]
    if not isinstance(source, ModuleType):
        return source
    tasks = [value for value in vars(source).values() if isinstance(value, Task)]
    if not tasks:
        raise InvalidRequest.because(
            "include",
            f"the module {source.__name__} holds no task",
            "a module with @task functions",
        )
    return tasks


def _note_stored(error: Exception, receipt: BulkReceipt, within: object) -> None:
    where = "stored already" if within is None else "in the transaction"
    error.add_note(f"{receipt.stored:,} jobs of this call are {where}")
