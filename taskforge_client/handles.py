"""What a send gives back.

A handle on the job, to look at it, wait for it, cancel it or run it once more.

Every method that talks to TaskForge comes in twins: `x` blocks, ``await ax`` doesn't.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from taskforge_client.errors import (
    InvalidRequest,
    JobCancelled,
    JobDead,
    JobExpired,
    JobFailed,
    NotSucceeded,
    ResultNotKept,
)
from taskforge_client.sender import Sender
from taskforge_client.wire.ids import job_number
from taskforge_client.wire.jobs import EXPIRED, CancelAnswer, JobView
from taskforge_client.wire.problems import MalformedValue
from taskforge_client.wire.states import JobState

R_co = TypeVar("R_co", covariant=True)
ENCODED_NONE = b"\xc0"
CANCEL_REASON = "cancelled by the application"


class JobHandle(Generic[R_co]):
    """One job that was sent.

    `deduplicated` tells that it stood there before, by `key` or `unique`.
    """

    __slots__ = ("_decode_result", "_sender", "deduplicated", "id")

    def __init__(
        self,
        sender: Sender,
        identifier: str,
        decode_result: Callable[[bytes], Any],
        *,
        deduplicated: bool = False,
    ) -> None:
        self.id = identifier
        self.deduplicated = deduplicated
        self._sender = sender
        self._decode_result = decode_result

    def __repr__(self) -> str:
        return f"JobHandle({self.id!r})"

    def view(self) -> JobView:
        """Return the job as it stands now; raises `NotFound`."""
        return self._sender.call("view", lambda transport: transport.view(self.id))

    async def aview(self) -> JobView:
        """Return the job as it stands now; raises `NotFound`."""
        return await self._sender.acall(lambda transport: transport.view(self.id))

    def join(self, timeout: float | None = None) -> JobView:
        """Wait at most `timeout` seconds (None.

        For ever) until the job is final and return it, however it ended.

        Raises:
            ResultTimeout: the job is not final yet.
            NotFound: there is no such job, or it is no longer kept.
        """
        return self._sender.call("join", lambda transport: transport.join(self.id, timeout))

    async def ajoin(self, timeout: float | None = None) -> JobView:
        """Wait until the job is final, as `join`."""
        return await self._sender.acall(lambda transport: transport.join(self.id, timeout))

    def result(self, timeout: float | None = None) -> R_co:
        """Wait at most `timeout` seconds (None: for ever) and return what the task returned.

        Raises:
            JobFailed: it failed; `JobDead` when it went to the dead letters.
            JobCancelled: it was cancelled; `JobExpired` when it was not started in time.
            ResultNotKept: it succeeded, but its result was not stored.
            ResultTimeout: the job is not final yet.
        """
        return self._result_of(
            self._sender.call("result", lambda transport: transport.join(self.id, timeout))
        )

    async def aresult(self, timeout: float | None = None) -> R_co:
        """Wait for what the task returned, as `result`."""
        return self._result_of(await self.ajoin(timeout))

    def cancel(self, reason: str = CANCEL_REASON) -> CancelAnswer:
        """Cancel the job, or ask its worker to stop it when it runs; a final job stays as it is."""
        return self._sender.call("cancel", lambda transport: transport.cancel(self.id, reason))

    async def acancel(self, reason: str = CANCEL_REASON) -> CancelAnswer:
        """Cancel the job, as `cancel`."""
        return await self._sender.acall(lambda transport: transport.cancel(self.id, reason))

    def retry(self) -> "JobHandle[R_co]":
        """Run a job that did not succeed once more.

        Raises `Conflict` when it is not final or succeeded.
        """
        enqueued = self._sender.call("retry", lambda transport: transport.retry(self.id))
        return self._same(enqueued.id)

    async def aretry(self) -> "JobHandle[R_co]":
        """Run a job once more, as `retry`."""
        enqueued = await self._sender.acall(lambda transport: transport.retry(self.id))
        return self._same(enqueued.id)

    def _same(self, identifier: str) -> "JobHandle[R_co]":
        return JobHandle(self._sender, identifier, self._decode_result)

    def _result_of(self, view: JobView) -> R_co:
        if view.state is not JobState.SUCCEEDED:
            raise ending_error(view)
        if not view.result_kept:
            raise ResultNotKept(f"{view.id} ({view.task}) succeeded, but its result was not stored")
        # Storage keeps nothing for None, which most tasks return.
        stored = ENCODED_NONE if view.result is None else view.result
        result: R_co = self._decode_result(stored)
        return result


def checked_id(identifier: str) -> str:
    """Return a public job id as it is, refused with `InvalidRequest` when it can't be one."""
    try:
        job_number(identifier)
    except MalformedValue as error:
        raise InvalidRequest(error.as_problem()) from None
    return identifier


def ending_error(view: JobView) -> NotSucceeded:
    """Return the error for a job that is final without having succeeded."""
    if view.state is JobState.DEAD:
        return JobDead(view)
    if view.state is JobState.CANCELLED:
        return JobExpired(view) if view.reason == EXPIRED else JobCancelled(view)
    return JobFailed(view)
