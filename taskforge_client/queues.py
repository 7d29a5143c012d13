"""A project's queues as the application sees them.

``app.queues["mail"].view()``, `pause` and `resume`.
"""

from attrs import frozen

from taskforge_client.errors import InvalidRequest, NotConfigured
from taskforge_client.sender import Sender
from taskforge_client.transport.base import QueueControl, Transport
from taskforge_client.wire.limits import queue_name
from taskforge_client.wire.problems import MalformedValue
from taskforge_client.wire.queues import QueueView


@frozen
class Queue:
    """One queue by its name; whether it exists is found out by using it."""

    name: str
    _sender: Sender

    def view(self) -> QueueView:
        """Return the queue as it stands now: depth by state, the oldest waiting job, rates."""
        return self._sender.call("view", lambda transport: _control(transport).queue(self.name))

    async def aview(self) -> QueueView:
        """Return the queue as it stands now."""
        return await self._sender.acall(lambda transport: _control(transport).queue(self.name))

    def pause(self) -> None:
        """Let nothing more be claimed from the queue.

        What runs goes on, and jobs can still be sent.
        """
        self._sender.call("pause", lambda transport: _control(transport).pause(self.name))

    async def apause(self) -> None:
        """Pause the queue, as `pause`."""
        await self._sender.acall(lambda transport: _control(transport).pause(self.name))

    def resume(self) -> None:
        """Let jobs be claimed from the queue again."""
        self._sender.call("resume", lambda transport: _control(transport).resume(self.name))

    async def aresume(self) -> None:
        """Resume the queue, as `resume`."""
        await self._sender.acall(lambda transport: _control(transport).resume(self.name))


@frozen
class Queues:
    """All queues by name."""

    _sender: Sender

    def __getitem__(self, name: str) -> Queue:
        try:
            return Queue(queue_name(name), self._sender)
        except MalformedValue as error:
            raise InvalidRequest(error.as_problem()) from None


def _control(transport: Transport) -> QueueControl:
    if not isinstance(transport, QueueControl):
        road = type(transport).__name__
        raise NotConfigured(f"{road} does not reach queues; use a postgresql:// URL for that")
    return transport
