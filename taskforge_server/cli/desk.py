"""What commands speak to: a desk for jobs over any way, a caller where it takes the database."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from attrs import frozen

from taskforge_client.errors import NotConfigured, ResultTimeout, Unreachable, from_problem
from taskforge_client.settings import ClientSettings
from taskforge_client.transport.base import Transport
from taskforge_client.transport.choose import open_transport
from taskforge_client.wire.codec import decode_json
from taskforge_client.wire.jobs import CancelAnswer, Enqueued, JobSpec, JobView, RetryRequest
from taskforge_client.wire.lists import JobFilter, JobPage
from taskforge_client.wire.problems import Problem
from taskforge_server.cli.target import (
    Target,
    TargetKind,
    TargetOptions,
    choose_target,
    database_of,
)
from taskforge_server.operations import jobs, queues
from taskforge_server.operations.caller import Caller

T = TypeVar("T")
_APPLICATION: str = "taskforge command"


class Desk(Protocol):
    """The verbs of jobs, whatever lies between."""

    async def enqueue(self, spec: JobSpec) -> Enqueued:
        """Send one job."""
        ...

    async def show(self, identifier: str) -> JobView:
        """Return a job as it stands."""
        ...

    async def wait(self, identifier: str, seconds: float) -> JobView:
        """Return a job when it is final or the seconds are over."""
        ...

    async def why_waiting(self, view: JobView) -> str | None:
        """Return why a ready job may wait for ever, None when nothing is known."""
        ...

    async def list_jobs(self, wanted: JobFilter) -> JobPage:
        """Return one page of jobs."""
        ...

    async def cancel(self, identifier: str, reason: str) -> CancelAnswer:
        """Cancel a job."""
        ...

    async def retry(self, identifier: str, arguments: dict[str, Any] | None) -> Enqueued:
        """Run a job once more."""
        ...


@frozen
class DatabaseDesk:
    """Straight to the database."""

    caller: Caller

    async def enqueue(self, spec: JobSpec) -> Enqueued:
        """Send one job."""
        return await jobs.enqueue(self.caller, spec)

    async def show(self, identifier: str) -> JobView:
        """Return a job as it stands."""
        return await jobs.show(self.caller, identifier)

    async def wait(self, identifier: str, seconds: float) -> JobView:
        """Return a job when it is final or the seconds are over."""
        return await jobs.wait(self.caller, identifier, seconds)

    async def why_waiting(self, view: JobView) -> str | None:
        """Return why a ready job may wait for ever: a paused queue, or no worker for it."""
        return await queues.why_unserved(self.caller, view.queue)

    async def list_jobs(self, wanted: JobFilter) -> JobPage:
        """Return one page of jobs; an unknown queue or task is refused with the nearest name."""
        page = await jobs.list_jobs(self.caller, wanted)
        if not page.jobs:
            await jobs.refuse_unknown_names(self.caller, queue=wanted.queue, task=wanted.task)
        return page

    async def cancel(self, identifier: str, reason: str) -> CancelAnswer:
        """Cancel a job."""
        return await jobs.cancel(self.caller, identifier, reason)

    async def retry(self, identifier: str, arguments: dict[str, Any] | None) -> Enqueued:
        """Run a job once more."""
        return await jobs.retry(self.caller, identifier, RetryRequest(args=arguments))


@frozen
class HttpDesk:
    """Over HTTP, by the client's own transport; lists are asked for here, since it has none."""

    transport: Transport
    url: str
    api_key: str | None

    async def enqueue(self, spec: JobSpec) -> Enqueued:
        """Send one job."""
        return await self.transport.enqueue(jobs.outgoing(spec))

    async def show(self, identifier: str) -> JobView:
        """Return a job as it stands."""
        jobs.check_id(identifier)
        return await self.transport.view(identifier)

    async def wait(self, identifier: str, seconds: float) -> JobView:
        """Return a job when it is final or the seconds are over."""
        jobs.check_id(identifier)
        try:
            return await self.transport.join(identifier, seconds)
        except ResultTimeout:
            return await self.transport.view(identifier)

    async def why_waiting(self, view: JobView) -> str | None:  # noqa: ARG002
        """Return None: queues and workers are not shown over HTTP."""
        return None

    async def list_jobs(self, wanted: JobFilter) -> JobPage:
        """Return one page of jobs."""
        import httpx

        query: dict[str, str | int] = {"limit": wanted.limit}
        if wanted.state is not None:
            query["state"] = wanted.state.value
        if wanted.created_after is not None:
            query["created_after"] = wanted.created_after.isoformat()
        for name in ("queue", "task", "tag", "cursor"):
            text = getattr(wanted, name)
            if text is not None:
                query[name] = text
        headers = {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}
        try:
            async with httpx.AsyncClient(base_url=self.url, headers=headers) as client:
                answer = await client.get("/v1/jobs", params=query)
        except httpx.TransportError as error:
            raise Unreachable(f"{self.url} can't be reached: {error}") from None
        if answer.is_error:
            raise from_problem(decode_json(answer.content, Problem))
        return decode_json(answer.content, JobPage)

    async def cancel(self, identifier: str, reason: str) -> CancelAnswer:
        """Cancel a job."""
        jobs.check_id(identifier)
        return await self.transport.cancel(identifier, reason)

    async def retry(self, identifier: str, arguments: dict[str, Any] | None) -> Enqueued:
        """Run a job once more."""
        jobs.check_id(identifier)
        payload = None if arguments is None else jobs.encode_arguments(arguments)
        return await self.transport.retry(identifier, payload)


def with_desk(options: TargetOptions, work: Callable[[Desk], Awaitable[T]]) -> T:
    """Run `work` with a desk for the chosen target."""
    target = choose_target(options)
    if target.kind is not TargetKind.HTTP:
        return _with_caller(target, lambda caller: work(DatabaseDesk(caller)))

    async def run() -> T:
        transport = open_transport(ClientSettings(url=target.address, api_key=target.api_key))
        try:
            return await work(HttpDesk(transport, target.address, target.api_key))
        finally:
            await transport.aclose()

    return asyncio.run(run())


def with_caller(options: TargetOptions, work: Callable[[Caller], Awaitable[T]]) -> T:
    """Run `work` with the database behind it; raises `NotConfigured` for a target over HTTP."""
    target = choose_target(options)
    if target.kind is TargetKind.HTTP:
        raise NotConfigured(
            f"this command works on the database, and {target.source} names a server over HTTP; "
            "set TASKFORGE_DATABASE_URL or give --database-url or --data"
        )
    return _with_caller(target, work)


def _with_caller(target: Target, work: Callable[[Caller], Awaitable[T]]) -> T:
    from taskforge_client.transport.postgres import PostgresTransport
    from taskforge_client.transport.postgres.link import Link

    async def run(url: str) -> T:
        # A person waits for the answer: say soon that nobody is there.
        transport = PostgresTransport(url, retry_seconds=0.0)
        try:
            async with Link(url, _APPLICATION) as link:
                return await work(Caller(database=link, transport=transport))
        finally:
            await transport.aclose()

    with database_of(target) as url:
        return asyncio.run(run(url))
