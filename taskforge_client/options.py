"""What the decorator and `.using` accept.

One place names, checks and turns it into the wire's `JobOptions`.

Options are worked out once per decorator or `.using`, never per job, and the value is shared by all
jobs sent with it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import Enum
from types import UnionType
from typing import Any, Literal, Protocol, TypedDict

from attrs import Factory, evolve, frozen

from taskforge_client.errors import InvalidRequest
from taskforge_client.retry import Retry, as_seconds
from taskforge_client.schedules import When
from taskforge_client.wire.jobs import JobOptions
from taskforge_client.wire.limits import check_options, check_seconds, queue_name
from taskforge_client.wire.policies import UniquePolicy
from taskforge_client.wire.problems import MalformedValue
from taskforge_client.wire.states import OnParentFailure

Duration = float | timedelta


class Sent(Protocol):
    """A job that was sent: its handle."""

    @property
    def id(self) -> str:
        """The job's public id."""
        ...


class Execution(Enum):
    """Where a task's function runs.

    On the worker's event loop, in a thread or in a process of its own.
    """

    ASYNC = "async"
    THREAD = "thread"
    PROCESS = "process"


@frozen
class Unique:
    """One piece of work: while it is held, sending it again answers with the job that holds it.

    `by` names the arguments that tell pieces apart (none: all of them). `window` holds it that long
    from the send; without one it is held until the job is final.
    """

    by: str | tuple[str, ...] = ()
    window: Duration | None = None

    def names(self) -> tuple[str, ...]:
        """Return the named arguments, none for all."""
        return (self.by,) if isinstance(self.by, str) else tuple(self.by)

    def policy(self, key: bytes) -> UniquePolicy:
        """Return the wire's form for the piece of work that `key` stands for."""
        seconds = None if self.window is None else as_seconds(self.window)
        return UniquePolicy(key=key, window_seconds=seconds)


class SharedOptions(TypedDict, total=False):
    """Options of decorator and `.using`."""

    queue: str
    priority: int
    retry: Retry
    timeout: Duration
    expires: Duration
    tags: Iterable[str]
    unique: Unique


class SendOptions(SharedOptions, total=False):
    """Options of `.using`.

    `delay` or `run_at` but not both, an idempotency `key`, free `meta`, and jobs to wait for.
    """

    delay: Duration
    run_at: datetime
    key: str
    meta: Mapping[str, str]
    after: Sent | str | Iterable[Sent | str]
    on_parent_failure: Literal["cancel", "run_anyway"]


class TaskOptions(SharedOptions, total=False):
    """Options of the decorator."""

    name: str
    aliases: Iterable[str]
    execution: Literal["async", "thread", "process"]
    concurrency: int
    schedule: When
    store_result: bool
    dead_letters: bool


@frozen(kw_only=True)
class Prepared:
    """Options ready for the wire, and what depends on each job's arguments."""

    options: JobOptions = Factory(JobOptions)
    unique: Unique | None = None


_SHARED = frozenset(SharedOptions.__annotations__)
_SEND = _SHARED | frozenset(SendOptions.__annotations__)
_TASK = _SHARED | frozenset(TaskOptions.__annotations__)


def prepare_send(base: Prepared, given: SendOptions) -> Prepared:
    """Return `base` with the options of one `.using`, checked.

    Raises:
        InvalidRequest: an option is unknown (the nearest is named) or its value is out of range.
    """
    refuse_unknown(given, _SEND, "using")
    changes = _shared_changes(given)
    if "retry" in given:
        changes["retry"] = _retry(given).policy
    if "delay" in given or "run_at" in given:
        changes["delay_seconds"] = as_seconds(given["delay"], "delay") if "delay" in given else None
        changes["run_at"] = given.get("run_at")
    if "key" in given:
        changes["key"] = given["key"]
    if "meta" in given:
        require_kind(given["meta"], Mapping, "meta", "texts by name")
        changes["meta"] = dict(given["meta"])
    if "after" in given:
        changes["after"] = _parents(given["after"])
    if "on_parent_failure" in given:
        changes["on_parent_failure"] = _on_parent_failure(given["on_parent_failure"])
    return _prepared(base, changes, given)


def prepare_task(given: TaskOptions) -> Prepared:
    """Return the options of one decorator, checked; raises as `prepare_send`."""
    refuse_unknown(given, _TASK, "task")
    changes = _shared_changes(given)
    if (
        "retry" in given
    ):  # the policy itself stays with the task: only its budget travels with a job
        changes["max_attempts"] = _retry(given).policy.attempts
    if "dead_letters" in given:
        changes["dead_letters"] = given["dead_letters"]
    return _prepared(Prepared(), changes, given)


def refuse_unknown(given: Mapping[str, object], known: Iterable[str], where: str) -> None:
    """Raise `InvalidRequest` for the first option that is not known, with the nearest that is."""
    names = sorted(known)
    for name in given:
        if name not in names:
            from difflib import get_close_matches

            near = get_close_matches(name, names, n=1)
            right = f"{near[0]!r}" if near else f"one of {', '.join(names)}"
            raise InvalidRequest.because(name, f"{where}() has no such option", right)


def require_kind(value: object, kind: type | UnionType, field: str, right: str) -> None:
    """Raise `InvalidRequest` for an option whose value is of another kind."""
    if not isinstance(value, kind):
        raise InvalidRequest.because(field, f"{value!r} is of another kind", right)


def _retry(given: SharedOptions) -> Retry:
    require_kind(given["retry"], Retry, "retry", "Retry.exponential(…) or another policy")
    return given["retry"]


def _shared_changes(given: SharedOptions) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if "queue" in given:
        changes["queue"] = given["queue"]
    if "priority" in given:
        changes["priority"] = given["priority"]
    if "timeout" in given:
        changes["timeout_seconds"] = as_seconds(given["timeout"], "timeout")
    if "expires" in given:
        changes["expires_seconds"] = as_seconds(given["expires"], "expires")
    if "tags" in given:
        tags = given["tags"]
        require_kind(tags, Iterable, "tags", "a list of texts")
        changes["tags"] = (tags,) if isinstance(tags, str) else tuple(tags)
    return changes


def _prepared(base: Prepared, changes: dict[str, Any], given: SharedOptions) -> Prepared:
    unique = given.get("unique", base.unique)
    require_kind(unique, Unique | None, "unique", "Unique(…)")
    try:
        if "queue" in changes:
            changes["queue"] = queue_name(changes["queue"])
        if unique is not None and unique.window is not None:
            check_seconds("unique.window", as_seconds(unique.window), zero=False)
        options = evolve(base.options, **changes)
        check_options(options)
    except MalformedValue as error:
        raise InvalidRequest(error.as_problem()) from None
    return Prepared(options=options, unique=unique)


def _parents(after: Sent | str | Iterable[Sent | str]) -> tuple[str, ...]:
    if isinstance(after, str):
        return (after,)
    if isinstance(after, Iterable):
        return tuple(parent if isinstance(parent, str) else parent.id for parent in after)
    return (after.id,)


def _on_parent_failure(word: str) -> OnParentFailure:
    try:
        return OnParentFailure(word)
    except ValueError:
        raise InvalidRequest.because(
            "on_parent_failure", f"{word!r} is unknown", "'cancel' or 'run_anyway'"
        ) from None
