"""One app's ways out.

A transport for each event loop that sends, and one on the portal's loop for blocking calls.

Connections belong to the loop they were opened on, so an awaited call uses a transport of the
caller's own loop and never crosses threads; a blocking call crosses once to the portal, whatever
number of jobs it carries. A transport lives as long as its loop: it is held open by an asynchronous
generator, which a closing loop finalises (`asyncio.run` and every runner does so), and which
therefore closes the transport in time. Nothing is opened before the first send.

After a fork the child starts anew; what the parent opened stays untouched, because the sockets are
the parent's.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, TypeVar

from attrs import Factory, define, field

from taskforge_client.errors import TaskForgeError
from taskforge_client.portal import Portal, refuse_on_running_loop
from taskforge_client.transport.base import OutgoingJob, Transport
from taskforge_client.transport.within import aenqueue_within, enqueue_within
from taskforge_client.wire.jobs import Enqueued
from taskforge_client.wire.problems import Problem

T = TypeVar("T")
Answers = Sequence[Enqueued | Problem]
Keep = Callable[[Sequence[OutgoingJob], Answers], None]
IN_FLIGHT: Final = 2


@define(eq=False)
class _Opened:
    """A transport and the generator that closes it with its loop."""

    transport: Transport
    keeper: AsyncGenerator[None, None]


@define(eq=False)
class _State:
    """What one process opened."""

    process_id: int
    lock: threading.Lock = Factory(threading.Lock)
    portal: Portal | None = None
    opened: dict[asyncio.AbstractEventLoop, _Opened] = Factory(dict)
    inherited: "_State | None" = (
        None  # kept, never touched: collecting it would act on the parent's sockets
    )


@define(eq=False)
class Ways:
    """Carries calls to a transport on the right loop; `open_transport` makes one, without I/O."""

    open_transport: Callable[[], Transport]
    _state: _State = field(init=False, factory=lambda: _State(os.getpid()))

    def call(self, name: str, function: Callable[[Transport], Awaitable[T]]) -> T:
        """Run `function` with the portal's transport and wait for it.

        `name` is the blocking method's, for messages.

        Raises:
            UseAwait: an event loop runs in this thread.
        """
        refuse_on_running_loop(name)
        answer: T = self._portal().run(self._with_transport, function)
        return answer

    async def acall(self, function: Callable[[Transport], Awaitable[T]]) -> T:
        """Run `function` with a transport of the running loop."""
        return await function(await self.transport())

    def enqueue(self, job: OutgoingJob) -> Enqueued:
        """Send one job and wait until it is stored."""
        refuse_on_running_loop("enqueue")
        return self._portal().run(self._enqueue, job)

    async def aenqueue(self, job: OutgoingJob) -> Enqueued:
        """Send one job from the running loop.

        Sends made at the same time may share a transaction.
        """
        opened = self._current().opened.get(asyncio.get_running_loop())
        transport = await self.transport() if opened is None else opened.transport
        return await transport.enqueue(job)

    def enqueue_chunks(self, chunks: Iterable[Sequence[OutgoingJob]], keep: Keep) -> None:
        """Send chunks, at most two in flight, and hand each one's answers to `keep` in order.

        The caller's thread makes the next chunk while the last is on its way.
        """
        refuse_on_running_loop("enqueue_many")
        portal = self._portal()
        flying: deque[tuple[Sequence[OutgoingJob], Future[Answers]]] = deque()
        try:
            for chunk in chunks:
                flying.append((chunk, portal.start(self._enqueue_many, chunk)))
                if len(flying) >= IN_FLIGHT:
                    _keep_first(flying, keep)
            while flying:
                _keep_first(flying, keep)
        except BaseException:
            # What is in flight is counted all the same: those jobs are stored. The first error is
            # the one to tell.
            while flying:
                with suppress(TaskForgeError):
                    _keep_first(flying, keep)
            raise

    async def aenqueue_chunks(
        self, chunks: AsyncIterable[Sequence[OutgoingJob]], keep: Keep
    ) -> None:
        """Send chunks from the running loop, otherwise as `enqueue_chunks`."""
        transport = await self.transport()
        flying: deque[tuple[Sequence[OutgoingJob], asyncio.Task[Answers]]] = deque()
        try:
            async for chunk in chunks:
                flying.append((chunk, asyncio.create_task(_send_chunk(transport, chunk))))
                if len(flying) >= IN_FLIGHT:
                    await _akeep_first(flying, keep)
            while flying:
                await _akeep_first(flying, keep)
        except BaseException:
            while flying:
                with suppress(TaskForgeError):
                    await _akeep_first(flying, keep)
            raise

    def enqueue_within(self, connection: object, jobs: Sequence[OutgoingJob]) -> Sequence[Enqueued]:
        """Send jobs in the caller's transaction, on the caller's connection and thread."""
        return enqueue_within(connection, jobs)

    async def aenqueue_within(
        self, connection: object, jobs: Sequence[OutgoingJob]
    ) -> Sequence[Enqueued]:
        """Send jobs in the caller's transaction, on the caller's connection and loop."""
        return await aenqueue_within(connection, jobs)

    async def transport(self) -> Transport:
        """Return the running loop's transport, opened now if it is the first call there."""
        state = self._current()
        loop = asyncio.get_running_loop()
        opened = state.opened.get(loop)
        if opened is None:
            _forget_closed_loops(state)
            transport = self.open_transport()
            opened = _Opened(transport, _keep_open(state, loop, transport))
            state.opened[loop] = opened
            await anext(opened.keeper)
        return opened.transport

    async def aclose(self) -> None:
        """Close the running loop's transport, and the portal where there is one."""
        await self._close_here()
        if self._current().portal is not None:
            await asyncio.to_thread(self._close_portal)

    def close(self) -> None:
        """Close what blocking calls opened; transports of other loops close with their loops."""
        refuse_on_running_loop("close")
        self._close_portal()

    async def _close_here(self) -> None:
        opened = self._current().opened.get(asyncio.get_running_loop())
        if opened is not None:
            await opened.keeper.aclose()

    def _close_portal(self) -> None:
        state = self._current()
        with state.lock:
            portal, state.portal = state.portal, None
        if portal is not None:
            portal.close()

    def _current(self) -> _State:
        if self._state.process_id != os.getpid():
            self._state = _State(os.getpid(), inherited=self._state)
        return self._state

    def _portal(self) -> Portal:
        state = self._current()
        if state.portal is None:
            with state.lock:
                if state.portal is None:
                    state.portal = Portal(self._close_here)
        return state.portal

    async def _with_transport(self, function: Callable[[Transport], Awaitable[T]]) -> T:
        return await function(await self.transport())

    async def _enqueue(self, job: OutgoingJob) -> Enqueued:
        return await (await self.transport()).enqueue(job)

    async def _enqueue_many(self, jobs: Sequence[OutgoingJob]) -> Answers:
        return await (await self.transport()).enqueue_many(jobs)


def _keep_first(flying: deque[tuple[Sequence[OutgoingJob], Future[Answers]]], keep: Keep) -> None:
    sent, future = flying.popleft()
    keep(sent, future.result())


async def _akeep_first(
    flying: deque[tuple[Sequence[OutgoingJob], asyncio.Task[Answers]]], keep: Keep
) -> None:
    sent, task = flying.popleft()
    keep(sent, await task)


async def _send_chunk(transport: Transport, jobs: Sequence[OutgoingJob]) -> Answers:
    return await transport.enqueue_many(jobs)


async def _keep_open(
    state: _State, loop: asyncio.AbstractEventLoop, transport: Transport
) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        state.opened.pop(loop, None)
        await transport.aclose()


def _forget_closed_loops(state: _State) -> None:
    for loop in [loop for loop in state.opened if loop.is_closed()]:
        state.opened.pop(loop, None)
