import socket

import pytest

from tests.unit.conftest import SocketUsed


def test_a_unit_test_cannot_connect() -> None:
    with socket.socket() as outgoing, pytest.raises(SocketUsed, match=r"socket\.connect"):
        outgoing.connect(("127.0.0.1", 9))


async def test_an_event_loop_runs_all_the_same() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.send(b"x")
        assert right.recv(1) == b"x"
