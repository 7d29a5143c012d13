"""An attempt whose code has ended, as an outcome.

It returned or raised, and may have been stopped. Used where the code ran: on the loop, for threads,
and inside child processes.
"""

from taskforge_client.wire.workers import Finished
from taskforge_client.worker.attempt import RunningAttempt
from taskforge_client.worker.outcome import (
    RESULT_TOO_LARGE,
    UNENCODABLE_RESULT,
    Random,
    Stop,
    raised,
    stopped,
    succeeded,
    unstorable,
)


class GivenUp(Exception):
    """The code of the attempt went on after the worker was done with it."""


def outcome_of(attempt: RunningAttempt, random: Random, result_limit_bytes: int) -> Finished | None:
    """Return what is to be recorded of an attempt, None when it is no longer ours to report.

    What was asked to stop for a cancellation and succeeded all the same has succeeded; what passed
    its deadline has not, whatever it returned.
    """
    if attempt.failure is None and attempt.stop in (None, Stop.CANCELLED):
        return _returned(attempt, result_limit_bytes)
    job, rules = attempt.job, attempt.runnable.rules
    if attempt.stop is not None:
        return stopped(job, rules, attempt.stop, attempt.detail, random)
    return raised(job, rules, attempt.failure or GivenUp(), random)


def _returned(attempt: RunningAttempt, result_limit_bytes: int) -> Finished:
    job, runnable = attempt.job, attempt.runnable
    try:
        result = runnable.encode(attempt.value)
    except Exception as error:  # noqa: BLE001 - hooks of users' types may raise anything
        return unstorable(job, runnable.rules, UNENCODABLE_RESULT, str(error))
    if result is not None and len(result) > result_limit_bytes:
        message = (
            f"the result has {len(result)} bytes, {result_limit_bytes} are allowed; "
            "store it elsewhere and return where it is"
        )
        return unstorable(job, runnable.rules, RESULT_TOO_LARGE, message)
    return succeeded(job, result)
