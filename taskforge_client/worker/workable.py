"""An app, as far as a worker needs one."""

from collections.abc import Sequence
from typing import Any, Protocol

from taskforge_client.resources import AroundFunction, Resource
from taskforge_client.task import Task

AnyTask = Task[Any, Any]


class TasksByName(Protocol):
    """A registry of tasks."""

    def get(self, name: str, /) -> AnyTask | None:
        """Return the task that answers to a name."""
        ...


class Workable(Protocol):
    """An app, as far as a worker needs one."""

    @property
    def tasks(self) -> TasksByName:
        """Its tasks."""
        ...

    @property
    def resources(self) -> Sequence[Resource[Any]]:
        """What each worker process opens."""
        ...

    @property
    def arounds(self) -> Sequence[AroundFunction]:
        """What goes round every attempt, the outermost first."""
        ...
