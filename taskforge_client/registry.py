"""The tasks of one app by name. There is no global registry: two apps in a process don't meet."""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from taskforge_client.errors import InvalidRequest


class Named(Protocol):
    """Anything with a name and other names it also answers to."""

    @property
    def name(self) -> str:
        """The name it is sent by."""
        ...

    @property
    def aliases(self) -> tuple[str, ...]:
        """Names of the past, under which jobs may still be waiting."""
        ...

    @property
    def function(self) -> object:
        """What runs."""
        ...


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """Tasks by name and alias, in the order they were added."""

    def __init__(self) -> None:
        self._by_name: dict[str, T] = {}
        self._tasks: list[T] = []

    def add(self, task: T) -> None:
        """Take a task in; the same function under the same name again is no error.

        Raises:
            InvalidRequest: another function has one of its names.
        """
        present = self._by_name.get(task.name)
        if present is not None and present.name == task.name and present.function is task.function:
            return
        for name in (task.name, *task.aliases):
            if name in self._by_name:
                raise InvalidRequest.because(
                    "name",
                    f"two tasks are called {name!r}",
                    "a name of its own for each, by name=…",
                )
        self._tasks.append(task)
        for name in (task.name, *task.aliases):
            self._by_name[name] = task

    def get(self, name: str) -> T | None:
        """Return the task that answers to a name, None when there is none."""
        return self._by_name.get(name)

    def nearest(self, name: str) -> str | None:
        """Return the known name most like an unknown one, for messages."""
        from difflib import get_close_matches

        near = get_close_matches(name, self._by_name, n=1)
        return near[0] if near else None

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[T]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)
