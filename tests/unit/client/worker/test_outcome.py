"""Every way an attempt can end, and laws that hold for all of them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskforge_client.control import Bury, Cancel, RetryIn, Snooze
from taskforge_client.retry import Retry
from taskforge_client.wire.jobs import EXPIRED, Encoding
from taskforge_client.wire.policies import Backoff, RetryPolicy
from taskforge_client.wire.states import JobState
from taskforge_client.wire.workers import ClaimedJob, Finished
from taskforge_client.worker import outcome
from taskforge_client.worker.outcome import Rules, Stop

pytestmark = pytest.mark.unit

RULES = Rules(retry=Retry.exponential(first=2, jitter=0))
NO_DEAD_LETTERS = Rules(retry=Retry.exponential(), dead_letters=False)


def job(attempt: int = 1, max_attempts: int = 5, **fields: object) -> ClaimedJob:
    return ClaimedJob(
        number=1,
        attempt=attempt,
        max_attempts=max_attempts,
        token=7,
        queue="default",
        task="t",
        payload=b"\x80",
        encoding=Encoding.MSGPACK,
        timeout_seconds=30.0,
        **fields,  # type: ignore[arg-type]  # a test's own field names
    )


def half() -> float:
    return 0.5


def raised(error: BaseException, **fields: int) -> Finished:
    return outcome.raised(job(**fields), RULES, error, half)


def test_a_failure_is_tried_again_by_the_policy_until_attempts_are_used_up() -> None:
    waits = [raised(ValueError("no"), attempt=n).delay_seconds for n in (1, 2, 3, 4)]
    assert waits == [2.0, 4.0, 8.0, 16.0]
    last = raised(ValueError("no"), attempt=5)
    assert last.state is JobState.DEAD
    assert last.error is not None
    assert (last.error.type, last.error.message) == ("ValueError", "no")
    kept_out = outcome.raised(job(attempt=5), NO_DEAD_LETTERS, ValueError(), half)
    assert kept_out.state is JobState.FAILED


def test_filters_and_custom_waits_of_the_task_decide() -> None:
    picky = Rules(retry=Retry.fixed(first=1, jitter=0, on=OSError, not_on=FileNotFoundError))
    assert outcome.raised(job(), picky, TimeoutError(), half).state is JobState.SCHEDULED
    assert outcome.raised(job(), picky, FileNotFoundError(), half).state is JobState.DEAD
    assert outcome.raised(job(), picky, ValueError(), half).state is JobState.DEAD

    def broken(_attempt: int, _error: BaseException) -> float:
        raise ZeroDivisionError

    fallback = Rules(retry=Retry.custom(broken))
    assert outcome.raised(job(), fallback, ValueError(), half).state is JobState.SCHEDULED
    given_up = Rules(retry=Retry.custom(lambda _attempt, _error: None))
    assert outcome.raised(job(), given_up, ValueError(), half).state is JobState.DEAD


def test_a_policy_sent_with_the_job_overrules_the_tasks_waits_but_not_its_filters() -> None:
    policy = RetryPolicy(backoff=Backoff.FIXED, first_seconds=60.0, jitter=0.0)
    sent = job(retry=msgspec.json.encode(policy).decode())
    picky = Rules(retry=Retry.exponential(not_on=KeyError))
    assert outcome.raised(sent, picky, ValueError(), half).delay_seconds == 60.0
    assert outcome.raised(sent, picky, KeyError(), half).state is JobState.DEAD
    unreadable = job(retry="not json")
    assert outcome.raised(unreadable, RULES, ValueError(), half).delay_seconds == 2.0


def test_what_the_worker_ends_is_tried_again_whatever_the_filters_say() -> None:
    picky = Rules(retry=Retry.fixed(first=3, jitter=0, on=KeyError))
    timed_out = outcome.stopped(job(), picky, Stop.TIMEOUT, "", half)
    assert timed_out is not None
    assert (timed_out.state, timed_out.reason) == (JobState.SCHEDULED, outcome.TIMEOUT)
    assert timed_out.error is not None
    assert "30 s" in timed_out.error.message
    died = outcome.crashed(job(), picky, "killed by SIGKILL", half)
    assert (died.state, died.reason) == (JobState.SCHEDULED, outcome.WORKER_CRASHED)
    assert outcome.crashed(job(attempt=5), picky, "", half).state is JobState.DEAD


def test_stops_that_are_no_failures() -> None:
    cancelled = outcome.stopped(job(), RULES, Stop.CANCELLED, "why not", half)
    assert cancelled is not None
    assert (cancelled.state, cancelled.reason) == (JobState.CANCELLED, "why not")
    drained = outcome.stopped(job(attempt=5), RULES, Stop.DRAINED, "", half)
    assert drained is not None
    assert (drained.state, drained.burns_attempt) == (JobState.SCHEDULED, False)
    assert outcome.stopped(job(), RULES, Stop.LOST, "", half) is None


def test_steering_beyond_the_last_attempt() -> None:
    assert raised(RetryIn(3), attempt=5).state is JobState.DEAD
    assert raised(Snooze(3), attempt=5).state is JobState.SCHEDULED
    assert raised(Cancel("x"), attempt=5).state is JobState.CANCELLED
    assert raised(Bury("x"), attempt=1).state is JobState.DEAD


def test_jobs_that_could_not_start() -> None:
    waits = [outcome.unknown_task(job(attempt=n)).delay_seconds for n in range(1, 6)]
    assert waits == [1.0, 4.0, 16.0, 64.0, 256.0]
    assert outcome.unknown_task(job(attempt=6)).state is JobState.DEAD
    assert outcome.unreadable(job(), ValueError("x")).reason == outcome.UNDECODABLE_ARGUMENTS
    assert outcome.expired(job()).reason == EXPIRED


ERRORS = st.one_of(
    st.builds(ValueError, st.text()),
    st.builds(OSError, st.integers(), st.text()),
    st.builds(RetryIn, st.floats(0, 1e6)),
    st.builds(Snooze, st.floats(0, 1e6)),
    st.builds(Cancel, st.text()),
    st.builds(Bury, st.text()),
    st.builds(KeyboardInterrupt),
    st.builds(BaseExceptionGroup, st.just("g"), st.lists(st.builds(ValueError), min_size=1)),
)


@pytest.mark.properties
@given(
    error=ERRORS,
    attempt=st.integers(1, 30),
    max_attempts=st.integers(1, 20),
    dead_letters=st.booleans(),
    spread=st.floats(0, 1, exclude_max=True),
)
def test_every_ending_is_one_of_the_few_allowed(
    *, error: BaseException, attempt: int, max_attempts: int, dead_letters: bool, spread: float
) -> None:
    rules = Rules(retry=Retry.exponential(cap=100), dead_letters=dead_letters)
    claimed = job(attempt=attempt, max_attempts=max_attempts)
    ended = outcome.raised(claimed, rules, error, lambda: spread)
    assert (ended.number, ended.attempt, ended.token) == (1, attempt, 7)
    if ended.state is JobState.SCHEDULED:
        assert ended.delay_seconds >= 0
        assert attempt < max_attempts or not ended.burns_attempt
    else:
        assert ended.state.is_final
        assert ended.state is not JobState.SUCCEEDED
    if not isinstance(error, RetryIn | Snooze):
        assert ended.delay_seconds <= 100
    if ended.state is JobState.FAILED:
        assert not dead_letters
    assert ended.burns_attempt or isinstance(error, Snooze)
    for text in (ended.reason, ended.error.message if ended.error is not None else None):
        assert text is None or ("\x00" not in text and text.encode("utf-8") is not None)
    msgspec.msgpack.encode(ended)
