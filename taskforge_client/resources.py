"""What a worker process opens once and every attempt may use: `@app.resource`.

And what goes round each: `@app.around`.

A resource is a generator that yields one value: what stands before the ``yield`` opens it when a
worker process starts, what follows closes it when the process leaves.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Final, Generic, TypeVar

from taskforge_client.context import CurrentJob
from taskforge_client.errors import InvalidRequest, NotConfigured

T = TypeVar("T")
ResourceFunction = Callable[[], Iterator[T] | AsyncIterator[T]]
AroundFunction = Callable[[CurrentJob], Iterator[None] | AsyncIterator[None]]
_CLOSED: Final = object()


class Resource(Generic[T]):
    """One value a worker process; `get` returns it inside a task."""

    def __init__(self, function: ResourceFunction[T]) -> None:
        if not (inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)):
            raise InvalidRequest.because(
                "resource",
                f"{function!r} is not a generator function",
                "a function that yields one value",
            )
        self.name = function.__qualname__
        self._function: Callable[[], Any] = function
        self._value: Any = _CLOSED

    def get(self) -> T:
        """Return the worker process's value; raises `NotConfigured`.

        Where no worker has opened it.
        """
        if self._value is _CLOSED:
            raise NotConfigured(f"the resource {self.name} is open in a running worker only")
        value: T = self._value
        return value

    async def open(self, stack: AsyncExitStack) -> None:
        """Open the value for this process; `stack` closes it (called by the worker)."""
        stack.callback(self._forget)
        if inspect.isasyncgenfunction(self._function):
            manager = asynccontextmanager(self._function)()
            self._value = await stack.enter_async_context(manager)
        else:
            self._value = stack.enter_context(contextmanager(self._function)())

    def _forget(self) -> None:
        self._value = _CLOSED


def check_around(function: AroundFunction) -> None:
    """Refuse an around hook that is no generator function taking the job."""
    if not (inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)):
        raise InvalidRequest.because(
            "around",
            f"{function!r} is not a generator function",
            "a function of the job that yields once",
        )
