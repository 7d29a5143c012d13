"""Every error the client raises, in one tree.

So that one ``except TaskForgeError`` catches them all.

::

    TaskForgeError
    ├── NotConfigured            a setting, an extra or a URL is missing or wrong
    ├── TaskWithoutApp           the task belongs to no app yet
    ├── UseAwait                 a blocking call on a running event loop
    ├── Unreachable              nobody answered; the call may or may not have been carried out
    ├── ResultTimeout            the job is not final yet
    ├── ResultNotKept            the job succeeded, its result was not stored
    ├── SignalTimeout            no signal came in time
    ├── Refused                  the request was understood and refused; `problem` says why
    │   ├── InvalidRequest       a field is wrong
    │   ├── Unauthenticated      no key, or one that nobody knows
    │   ├── Forbidden            the key may not do this
    │   ├── NotFound             no such job, queue or schedule
    │   ├── RateLimited          too many requests; `retry_after_seconds` where told
    │   ├── TooLarge             the payload is above the limit
    │   └── Conflict             the job's state does not allow it
    │       └── KeyReused        the idempotency key already names another request
    └── NotSucceeded             the job ended, but not well; `view` shows it
        ├── JobFailed
        │   └── JobDead          it went to the dead letters
        └── JobCancelled
            └── JobExpired       it was not started in time

An error of the remote side carries text only; nothing is ever unpickled. What steers a running task
(`taskforge_client.control`) is no error and stands apart.
"""

from typing import Self

from taskforge_client.wire.jobs import JobView
from taskforge_client.wire.problems import STATUS_BY_CODE, MalformedValue, Problem, ProblemCode


class TaskForgeError(Exception):
    """Something went wrong in TaskForge."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or default_message(type(self)))


def default_message(kind: type[BaseException]) -> str:
    """Return the first line of an error's docstring, which is its message when none is given."""
    return (kind.__doc__ or kind.__name__).partition("\n")[0]


class NotConfigured(TaskForgeError):
    """A setting is missing or wrong."""


class TaskWithoutApp(TaskForgeError):
    """The task belongs to no app yet: call app.include(task) or task.via(app) first."""


class UseAwait(TaskForgeError):
    """A blocking call would stop the running event loop.

    Await its twin, whose name begins with an a.
    """


class Unreachable(TaskForgeError):
    """TaskForge can't be reached; the call may or may not have been carried out."""

    retry_after_seconds: float | None = None


class ResultTimeout(TaskForgeError):
    """The job is not final yet."""


class ResultNotKept(TaskForgeError):
    """The job succeeded, but its result was not stored."""


class SignalTimeout(TaskForgeError):
    """No signal came in time."""


class Refused(TaskForgeError):
    """The request was refused."""

    code = ProblemCode.INTERNAL

    def __init__(self, problem: Problem | None = None) -> None:
        kind = type(self)
        if problem is None:
            problem = Problem(
                code=kind.code, title=default_message(kind), status=STATUS_BY_CODE[kind.code]
            )
        self.problem = problem
        super().__init__(describe_problem(problem))

    def __reduce__(self) -> tuple[type[Self], tuple[Problem]]:
        """Keep the problem when the error crosses to another process."""
        return type(self), (self.problem,)


def describe_problem(problem: Problem) -> str:
    """Return a refusal as one line: the field, what is wrong with it and what would be right."""
    text = problem.detail or problem.title
    if problem.field:
        text = f"{problem.field}: {text}"
    return f"{text}; {problem.hint}" if problem.hint else text


class InvalidRequest(Refused):
    """The request is not valid."""

    code = ProblemCode.INVALID_REQUEST

    @classmethod
    def because(cls, field: str, problem: str, right: str) -> Self:
        """Return the error for a field the client finds wrong; `right` is what it expects."""
        return cls(MalformedValue(field, problem, right).as_problem())


class Unauthenticated(Refused):
    """The API key is missing or unknown."""

    code = ProblemCode.UNAUTHENTICATED


class Forbidden(Refused):
    """The API key may not do this."""

    code = ProblemCode.FORBIDDEN


class NotFound(Refused):
    """There is no such thing."""

    code = ProblemCode.NOT_FOUND


class RateLimited(Refused):
    """Too many requests."""

    code = ProblemCode.RATE_LIMITED
    retry_after_seconds: float | None = None


class TooLarge(Refused):
    """The payload is above the limit."""

    code = ProblemCode.TOO_LARGE


class Conflict(Refused):
    """The job's state does not allow it."""

    code = ProblemCode.CONFLICT


class KeyReused(Conflict):
    """The idempotency key already names another request."""

    code = ProblemCode.KEY_REUSED


class NotSucceeded(TaskForgeError):
    """The job ended, but not well."""

    def __init__(self, view: JobView) -> None:
        self.view = view
        super().__init__(describe_ending(view))

    def __reduce__(self) -> tuple[type[Self], tuple[JobView]]:
        """Keep the view when the error crosses to another process."""
        return type(self), (self.view,)


def describe_ending(view: JobView) -> str:
    """Return how a job ended as one line, such as ``job_… (shop:charge) is dead after 5 attempts.

    KeyError: 'x'``.
    """
    times = "attempt" if view.attempt == 1 else "attempts"
    text = f"{view.id} ({view.task}) is {view.state.value} after {view.attempt} {times}"
    if view.error is not None:
        return f"{text}: {view.error.type}: {view.error.message}"
    return f"{text}: {view.reason}" if view.reason else text


class JobFailed(NotSucceeded):
    """The job failed."""


class JobDead(JobFailed):
    """The job failed and went to the dead letters."""


class JobCancelled(NotSucceeded):
    """The job was cancelled."""


class JobExpired(JobCancelled):
    """The job was not started in time."""


_ERROR_BY_CODE: dict[ProblemCode, type[Refused]] = {
    ProblemCode.INVALID_REQUEST: InvalidRequest,
    ProblemCode.UNAUTHENTICATED: Unauthenticated,
    ProblemCode.FORBIDDEN: Forbidden,
    ProblemCode.NOT_FOUND: NotFound,
    ProblemCode.CONFLICT: Conflict,
    ProblemCode.KEY_REUSED: KeyReused,
    ProblemCode.STALE_ATTEMPT: Conflict,
    ProblemCode.TOO_LARGE: TooLarge,
    ProblemCode.RATE_LIMITED: RateLimited,
}


def from_problem(problem: Problem) -> Refused | Unreachable:
    """Return the error that stands for a refusal.

    `unavailable` becomes `Unreachable`, an unknown code `Refused`.
    """
    if problem.code is ProblemCode.UNAVAILABLE:
        return Unreachable(describe_problem(problem))
    return _ERROR_BY_CODE.get(problem.code, Refused)(problem)
