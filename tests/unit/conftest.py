"""The unit tier touches no network: a test that connects or binds fails at that very line."""

import sys
from collections.abc import Iterator

import pytest

WATCHED = frozenset({"socket.bind", "socket.connect", "socket.getaddrinfo", "socket.sendto"})


class SocketUsed(AssertionError):
    """A unit test reached for the network."""


class NetworkGuard:
    """Refuses network calls while closed; an audit hook can't be removed, so it is switched."""

    def __init__(self) -> None:
        self.closed = False

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.closed and event in WATCHED:
            message = f"a unit test called {event}{arguments[-1:]}: give it a fake at the seam"
            raise SocketUsed(message)


@pytest.fixture(scope="session")
def network_guard() -> NetworkGuard:
    guard = NetworkGuard()
    sys.addaudithook(guard)
    return guard


@pytest.fixture(autouse=True)
def no_network(network_guard: NetworkGuard) -> Iterator[None]:
    network_guard.closed = True
    yield
    network_guard.closed = False
