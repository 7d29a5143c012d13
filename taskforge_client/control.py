"""What a task raises to steer its own job.

They are `BaseException`s, so that no ``except Exception`` in a task's code stops one by mistake.
They are no errors: the worker takes each as an instruction, and nothing else ever sees them.
"""

from datetime import timedelta

from taskforge_client.errors import InvalidRequest


class Steering(BaseException):
    """The worker is told what to do with the job; raise one of the subclasses."""


class _LaterSteering(Steering):
    def __init__(self, seconds: float | timedelta, reason: str | None = None) -> None:
        if isinstance(seconds, timedelta):
            seconds = seconds.total_seconds()
        if not 0 <= seconds < float("inf"):
            raise InvalidRequest.because(
                "seconds", f"{seconds} is not a delay", "a number from 0 up"
            )
        super().__init__(seconds, reason)
        self.seconds = float(seconds)
        self.reason = reason


class RetryIn(_LaterSteering):
    """Try the job again after `seconds`; the attempt counts.

    When it was the last attempt the job ends as any failed one.
    """


class Snooze(_LaterSteering):
    """Put the job off for `seconds`; the attempt does not count."""


class _FinalSteering(Steering):
    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Cancel(_FinalSteering):
    """End the job as cancelled, with a reason."""


class Bury(_FinalSteering):
    """End the job in the dead letters at once, with a reason, whatever attempts are left."""
