from __future__ import annotations

import pickle

import pytest
from attrs import evolve

from taskforge_client import errors
from taskforge_client.errors import (
    InvalidRequest,
    JobDead,
    KeyReused,
    NotSucceeded,
    Refused,
    TaskForgeError,
    Unreachable,
    from_problem,
)
from taskforge_client.handles import ending_error
from taskforge_client.wire.jobs import EXPIRED
from taskforge_client.wire.problems import STATUS_BY_CODE, Problem, ProblemCode
from taskforge_client.wire.states import JobState
from tests.contract.messages import VIEW

pytestmark = pytest.mark.unit

TREE = {
    "TaskForgeError": "Exception",
    "NotConfigured": "TaskForgeError",
    "TaskWithoutApp": "TaskForgeError",
    "UseAwait": "TaskForgeError",
    "Unreachable": "TaskForgeError",
    "ResultTimeout": "TaskForgeError",
    "ResultNotKept": "TaskForgeError",
    "SignalTimeout": "TaskForgeError",
    "Refused": "TaskForgeError",
    "InvalidRequest": "Refused",
    "Unauthenticated": "Refused",
    "Forbidden": "Refused",
    "NotFound": "Refused",
    "RateLimited": "Refused",
    "TooLarge": "Refused",
    "Conflict": "Refused",
    "KeyReused": "Conflict",
    "NotSucceeded": "TaskForgeError",
    "JobFailed": "NotSucceeded",
    "JobDead": "JobFailed",
    "JobCancelled": "NotSucceeded",
    "JobExpired": "JobCancelled",
}
CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, TaskForgeError)
}


def test_the_tree_is_the_documented_one() -> None:
    assert {name: kind.__bases__[0].__name__ for name, kind in CLASSES.items()} == TREE


@pytest.mark.parametrize("name", sorted(TREE))
def test_each_error_stands_in_the_drawing(name: str) -> None:
    assert errors.__doc__ is not None
    assert name in errors.__doc__


@pytest.mark.parametrize("kind", list(CLASSES.values()))
def test_the_docstring_is_the_default_message(kind: type[TaskForgeError]) -> None:
    if not issubclass(kind, NotSucceeded):
        assert kind.__doc__ is not None
        assert str(kind()) == kind.__doc__.splitlines()[0]


@pytest.mark.parametrize("code", list(ProblemCode))
def test_every_code_of_a_problem_has_its_error(code: ProblemCode) -> None:
    problem = Problem(code=code, title="No", status=STATUS_BY_CODE[code], detail="too odd")
    error = from_problem(problem)
    assert "too odd" in str(error)
    if code is ProblemCode.UNAVAILABLE:
        assert type(error) is Unreachable
    else:
        assert isinstance(error, Refused)
        assert error.problem == problem
    if code not in {ProblemCode.INTERNAL, ProblemCode.UNAVAILABLE, ProblemCode.STALE_ATTEMPT}:
        assert isinstance(error, Refused)
        assert type(error).code is code


def test_a_refusal_says_what_is_wrong_and_what_would_be_right() -> None:
    error = InvalidRequest.because("queue", "'Ä' is no name", "letters a-z")
    assert str(error) == "queue: 'Ä' is no name; expected letters a-z"
    assert error.problem.field == "queue"


@pytest.mark.parametrize(
    "error", [KeyReused(), InvalidRequest.because("a", "b", "c"), JobDead(VIEW), Unreachable("x")]
)
def test_errors_cross_processes(error: TaskForgeError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  made just here
    assert (type(copy), str(copy)) == (type(error), str(error))
    assert getattr(copy, "problem", None) == getattr(error, "problem", None)
    assert getattr(copy, "view", None) == getattr(error, "view", None)


@pytest.mark.parametrize(
    "state, reason, name",
    [
        (JobState.FAILED, None, "JobFailed"),
        (JobState.DEAD, None, "JobDead"),
        (JobState.CANCELLED, "enough", "JobCancelled"),
        (JobState.CANCELLED, EXPIRED, "JobExpired"),
    ],
)
def test_an_ending_has_its_error(state: JobState, reason: str | None, name: str) -> None:
    error = ending_error(evolve(VIEW, state=state, reason=reason, error=None))
    assert type(error).__name__ == name
    assert "job_0000000000002 (shop:charge) is" in str(error)
    assert (reason or "2 attempts") in str(error)


def test_an_ending_tells_the_last_error() -> None:
    assert str(JobDead(VIEW)).endswith("is dead after 2 attempts: ValueError: no")
