"""Makes an app's tasks ready to run, each when the first job of it comes."""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import wraps
from inspect import isasyncgenfunction
from typing import Any

from taskforge_client.context import current_job
from taskforge_client.errors import NotConfigured
from taskforge_client.options import Execution
from taskforge_client.resources import AroundFunction
from taskforge_client.retry import Retry
from taskforge_client.worker.locate import path_of
from taskforge_client.worker.metrics import MetricsSink, Tally
from taskforge_client.worker.outcome import Rules
from taskforge_client.worker.runnable import Place, Runnable
from taskforge_client.worker.workable import AnyTask, Workable


class AppCatalogue:
    """The tasks of one app.

    `plain_place` is where a plain function runs whose decorator does not say.
    """

    def __init__(self, app: Workable, *, plain_place: Place) -> None:
        self._app = app
        self._plain_place = plain_place
        self._by_name: dict[str, Runnable] = {}

    def get(self, name: str, /) -> Runnable | None:
        """Return the task that answers to a name."""
        known = self._by_name.get(name)
        if known is not None:
            return known
        task = self._app.tasks.get(name)
        if task is None:
            return None
        try:
            runnable = self._prepare(task)
        except NotConfigured:  # known by name alone: some other worker has its code
            return None
        self._by_name[name] = runnable
        return runnable

    def app_path(self) -> str | None:
        """Return where other processes find the app, None when they can't."""
        return path_of(self._app)

    def flush_tallies(self, sink: MetricsSink) -> None:
        """Hand all counts to `sink`."""
        for runnable in self._by_name.values():
            runnable.tally.flush(sink)

    def all(self) -> Iterable[Runnable]:
        """Return the tasks that jobs have come for so far."""
        return self._by_name.values()

    def _prepare(self, task: AnyTask) -> Runnable:
        function = task.function
        del function  # only to learn whether the code is here
        call = task.target
        if self._app.arounds:
            call = surrounded(call, self._app.arounds, is_async=task.is_async)
        return Runnable(
            name=task.name,
            call=call,
            decode=task.decode_arguments,
            is_async=task.is_async,
            place=self._place(task),
            rules=Rules(retry=task.retry or Retry.exponential(), dead_letters=task.dead_letters),
            tally=Tally(task.name),
            keeps_result=task.store_result,
            concurrency=task.concurrency,
        )

    def _place(self, task: AnyTask) -> Place:
        if task.execution is Execution.PROCESS:
            return Place.PROCESS
        if task.execution is Execution.THREAD:
            return Place.THREAD
        return Place.LOOP if task.is_async else self._plain_place


def surrounded(
    call: Callable[..., Any], arounds: Sequence[AroundFunction], *, is_async: bool
) -> Callable[..., Any]:
    """Return `call` with the hooks round it, the first outermost.

    An exception goes through them from within. A plain function takes plain generators only; an
    async one both kinds.

    Raises:
        NotConfigured: an async hook is to go round a plain function, which has no event loop to run
        it on.
    """
    if is_async:
        return _surrounded_async(call, [_async_manager(hook) for hook in arounds])
    managers = []
    for hook in arounds:
        if isasyncgenfunction(hook):
            raise NotConfigured(
                f"the hook {hook.__qualname__} is async and can't go round a plain function: "
                "make it a plain generator, or the task async"
            )
        managers.append(_plain_manager(hook))
    return _surrounded_plain(call, managers)


def _async_manager(hook: AroundFunction) -> Callable[..., Any]:
    return asynccontextmanager(hook) if isasyncgenfunction(hook) else _plain_manager(hook)


def _plain_manager(hook: Callable[..., Any]) -> Callable[..., Any]:
    return contextmanager(hook)


def _surrounded_async(
    call: Callable[..., Any], managers: Sequence[Callable[..., Any]]
) -> Callable[..., Coroutine[Any, Any, Any]]:
    @wraps(call)
    async def within(**arguments: Any) -> Any:
        job = current_job()
        async with AsyncExitStack() as stack:
            for manager in managers:
                entered = manager(job)
                if hasattr(entered, "__aenter__"):
                    await stack.enter_async_context(entered)
                else:
                    stack.enter_context(entered)
            return await call(**arguments)

    return within


def _surrounded_plain(
    call: Callable[..., Any], managers: Sequence[Callable[..., Any]]
) -> Callable[..., Any]:
    @wraps(call)
    def within(**arguments: Any) -> Any:
        job = current_job()
        with ExitStack() as stack:
            for manager in managers:
                stack.enter_context(manager(job))
            return call(**arguments)

    return within
