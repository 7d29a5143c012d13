"""What `@task` and `@app.task` do: a function and its options become a task, checked as a whole.

Without an app at hand the task belongs to none until one includes it.
"""

import inspect
from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import Any, ParamSpec, Protocol, TypeVar, Unpack, overload

from taskforge_client.arguments import ArgumentCodec
from taskforge_client.errors import InvalidRequest
from taskforge_client.naming import task_name
from taskforge_client.open_arguments import OpenArguments
from taskforge_client.options import Execution, Prepared, TaskOptions, prepare_task, require_kind
from taskforge_client.schedules import When
from taskforge_client.sender import Sender
from taskforge_client.task import AsyncTask, Definition, SyncTask, Task
from taskforge_client.wire.limits import check_task_name
from taskforge_client.wire.problems import MalformedValue

P = ParamSpec("P")
R = TypeVar("R")


class TaskDecorator(Protocol):
    """What ``@task(…)`` with options gives: it takes plain and coroutine functions."""

    @overload  # a coroutine function is a function too: the first that fits is the one meant
    def __call__(  # type: ignore[overload-overlap]
        self, f: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, f: Callable[P, R], /) -> SyncTask[P, R]: ...


@overload  # as in TaskDecorator
def task(  # type: ignore[overload-overlap]
    f: Callable[P, Coroutine[Any, Any, R]], /
) -> AsyncTask[P, R]: ...
@overload
def task(f: Callable[P, R], /) -> SyncTask[P, R]: ...
@overload
def task(**options: Unpack[TaskOptions]) -> TaskDecorator: ...
def task(f: Any = None, /, **options: Any) -> Any:
    """Make a task of a function without an app; it can be sent once an app includes it.

    Raises:
        InvalidRequest: the function can't be a task, or an option is unknown or out of range.
    """
    if f is not None:
        return make_task(f, options)
    return lambda function: make_task(function, options)


def make_task(
    function: Any, options: Any, sender: Sender | None = None
) -> SyncTask[Any, Any] | AsyncTask[Any, Any]:
    """Return the task made of a function and its decorator's options.

    Raises `InvalidRequest` as `task`.
    """
    given: TaskOptions = options
    if isinstance(function, staticmethod):
        function = function.__func__
    prepared = prepare_task(given)
    definition = define_task(function, given)
    _refuse_unknown_arguments(definition, prepared)
    kind = AsyncTask if definition.is_async else SyncTask
    made: SyncTask[Any, Any] | AsyncTask[Any, Any] = kind(definition, prepared, sender)
    update_wrapper(made, function)
    return made


def define_task(function: Callable[..., Any], given: TaskOptions) -> Definition:
    """Return what a decorator states about a function, checked."""
    name = task_name(function, given.get("name"))
    is_async = inspect.iscoroutinefunction(function)
    concurrency = given.get("concurrency")
    if concurrency is not None and concurrency < 1:
        raise InvalidRequest.because("concurrency", f"{concurrency} is too few", "1 or more")
    schedule = given.get("schedule")
    require_kind(schedule, When | None, "schedule", "cron(…) or every(…)")
    aliases = given.get("aliases", ())
    return Definition(
        name=name,
        arguments=ArgumentCodec(function, name),
        function=function,
        aliases=(aliases,) if isinstance(aliases, str) else tuple(aliases),
        is_async=is_async,
        execution=_execution(given, is_async=is_async),
        concurrency=concurrency,
        schedule=schedule,
        retry=given.get("retry"),
        store_result=given.get("store_result", True),
    )


def named_task(name: str, sender: Sender) -> Task[..., Any]:
    """Return a task known by name alone.

    Its arguments are sent unchecked, its results come as plain values.
    """
    try:
        check_task_name(name)
    except MalformedValue as error:
        raise InvalidRequest(error.as_problem()) from None
    return Task(Definition(name=name, arguments=OpenArguments(name)), Prepared(), sender)


def _execution(given: TaskOptions, *, is_async: bool) -> Execution | None:
    word = given.get("execution")
    if word is None:
        return None
    allowed = ("async", "process") if is_async else ("thread", "process")
    if word not in allowed:
        kind = "an async def" if is_async else "a plain def"
        raise InvalidRequest.because(
            "execution", f"{word!r} does not fit {kind}", " or ".join(map(repr, allowed))
        )
    return Execution(word)


def _refuse_unknown_arguments(definition: Definition, prepared: Prepared) -> None:
    if prepared.unique is not None:
        for argument in prepared.unique.names():
            definition.arguments.require(argument, "unique.by")
    if definition.schedule is not None and definition.arguments.needs_arguments:
        raise InvalidRequest.because(
            "schedule",
            f"{definition.name} needs arguments, and nobody gives a scheduled job any",
            "a function whose arguments all have defaults",
        )
