"""A signal that tests can wait for; in production nobody listens."""

from typing import Protocol


class Probe(Protocol):
    """Hears of every step a service finished."""

    def stepped(self, service: str, did: int) -> None:
        """Take note that `service` did `did` things."""
        ...

    def failed(self, service: str, error: BaseException) -> None:
        """Take note that a step failed and will be tried again."""
        ...


class NoProbe:
    """Hears nothing."""

    def stepped(self, service: str, did: int) -> None:
        """Forget it."""

    def failed(self, service: str, error: BaseException) -> None:
        """Forget it."""
