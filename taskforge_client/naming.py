"""What a task is called.

``module:function``, and which functions can't be tasks because a worker couldn't find them.
"""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path

from taskforge_client.errors import InvalidRequest
from taskforge_client.wire.limits import check_task_name
from taskforge_client.wire.problems import MalformedValue

_RECEIVERS = frozenset({"self", "cls"})


def task_name(function: Callable[..., object], given: str | None) -> str:
    """Return the name a function is sent by: the given one, else its module and qualified name.

    Raises:
        InvalidRequest: it is a method or a generator, or a lambda or nested function without a
            given name, or stands
            in a module that can't be imported again.
    """
    refuse_what_cannot_run(function)
    name = f"{module_name(function)}:{function.__qualname__}" if given is None else given
    try:
        check_task_name(name)
    except MalformedValue as error:
        raise InvalidRequest(error.as_problem()) from None
    return name


def refuse_what_cannot_run(function: Callable[..., object]) -> None:
    """Refuse methods, generators and whatever is no function at all."""
    if not inspect.isfunction(function):
        raise InvalidRequest.because(
            "task", f"{function!r} is not a function", "a function of a module, or a static method"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidRequest.because(
            "task", f"{function.__qualname__} is a generator", "a function that returns its result"
        )
    first = next(iter(inspect.signature(function).parameters), None)
    if first in _RECEIVERS:
        raise InvalidRequest.because(
            "task",
            f"{function.__qualname__} is a method; a worker has no object to call it on",
            "a function of a module, or a static method",
        )


def module_name(function: Callable[..., object]) -> str:
    """Return the name under which a worker can import the function's module; never ``__main__``."""
    qualified = function.__qualname__
    if "<lambda>" in qualified or "<locals>" in qualified:
        raise InvalidRequest.because(
            "task",
            f"{qualified} is not reachable from its module",
            "a function at the module's top level, or name=… to state the task's name",
        )
    if function.__module__ != "__main__":
        return function.__module__
    resolved = main_module_name()
    if resolved is None:
        raise InvalidRequest.because(
            "task",
            f"{qualified} stands in a script or session that can't be imported again",
            "a module's function, or name=… to state the task's name",
        )
    return resolved


def main_module_name() -> str | None:
    """Return the importable name of the module that was started as the program, None.

    Where it has none.
    """
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    if file is None:
        return None
    stem = Path(file).stem
    return stem if stem.isidentifier() else None
