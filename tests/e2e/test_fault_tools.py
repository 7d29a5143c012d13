"""The tools that other tests inject faults with do what they say."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import psycopg
import pytest

from tests.support.faults import Proxy, descendants, frozen, has_ended, kill
from tests.support.polling import DeadlinePassed, wait_until, wait_until_async
from tests.support.postgres import Database

pytestmark = pytest.mark.e2e


def serve_echo(listener: socket.socket) -> None:
    """Send back what comes, connection after connection, until the listener is closed."""
    while True:
        try:
            connection, _address = listener.accept()
        except OSError:
            return
        threading.Thread(target=echo, args=[connection], daemon=True).start()


def echo(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(65_536):
                connection.sendall(data)
        except OSError:
            return


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy before a server that echoes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve_echo, args=[listener], daemon=True).start()
        port = listener.getsockname()[1]
        with Proxy(target_host="127.0.0.1", target_port=port) as made:
            yield made
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    """A connection through the proxy that has proved to work."""
    with connected(proxy) as made:
        assert exchange(made, b"hello") == b"hello"
        yield made


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def exchange(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return receive(client, len(data))


def receive(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = client.recv(count - len(data))
        if not more:
            break
        data += more
    return data


def test_much_passes_unchanged_in_both_directions(client: socket.socket) -> None:
    sent = bytes(range(256)) * 8192
    answered: list[bytes] = []
    reader = threading.Thread(target=lambda: answered.append(receive(client, len(sent))))
    reader.start()
    client.sendall(sent)
    reader.join(15)
    assert answered == [sent]


def test_an_end_is_passed_on(proxy: Proxy, client: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    wait_until(lambda: proxy.connection_count == 0)


def test_a_delay_holds_each_direction_back(proxy: Proxy, client: socket.socket) -> None:
    proxy.delay(0.15)
    began = time.monotonic()
    assert exchange(client, b"slow") == b"slow"
    assert time.monotonic() - began >= 0.3


def test_a_stall_stops_the_bytes_and_not_the_connection(
    proxy: Proxy, client: socket.socket
) -> None:
    proxy.stall()
    client.sendall(b"held")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(1)
    with connected(proxy) as newcomer:
        newcomer.sendall(b"also held")
        newcomer.settimeout(0.2)
        with pytest.raises(TimeoutError):
            newcomer.recv(1)
        client.settimeout(10)
        proxy.pass_through()
        assert receive(client, 4) == b"held"
        newcomer.settimeout(10)
        assert receive(newcomer, 9) == b"also held"


def test_a_silenced_connection_stays_open_and_a_new_one_works(
    proxy: Proxy, client: socket.socket
) -> None:
    proxy.silence()
    client.sendall(b"into the void")
    with connected(proxy) as newcomer:
        assert exchange(newcomer, b"hello") == b"hello"
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(1)


def test_a_cut_resets_what_is_there_and_what_comes(proxy: Proxy, client: socket.socket) -> None:
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionResetError), connected(proxy) as newcomer:
        newcomer.recv(1)
    proxy.pass_through()
    with connected(proxy) as healed:
        assert exchange(healed, b"again") == b"again"


def test_a_single_cut_spares_what_comes(proxy: Proxy, client: socket.socket) -> None:
    proxy.cut_once()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with connected(proxy) as newcomer:
        assert exchange(newcomer, b"again") == b"again"


def test_a_client_gets_just_the_bytes_it_may_have(proxy: Proxy, client: socket.socket) -> None:
    proxy.drop_after(3)
    client.sendall(b"abcdef")
    assert receive(client, 3) == b"abc"
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_a_dropped_answer_leaves_its_statement_executed(database: Database) -> None:
    with psycopg.connect(database.url, autocommit=True) as direct, Proxy.to(database.url) as proxy:
        direct.execute("CREATE TABLE written (a int)")
        lost = psycopg.connect(proxy.url(database.url), autocommit=True)
        proxy.drop_after(0)
        with pytest.raises(psycopg.OperationalError):
            lost.execute("INSERT INTO written VALUES (1)")
        lost.close()
        wait_until(lambda: direct.execute("SELECT a FROM written").fetchall() == [(1,)])


def test_a_server_that_is_away_ends_the_clients_connection(proxy: Proxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with (
        Proxy(target_host="127.0.0.1", target_port=port) as dead_end,
        connected(dead_end) as client,
    ):
        assert client.recv(1) == b""


def test_a_url_without_a_port_has_nothing_to_stand_before() -> None:
    with pytest.raises(ValueError, match="names no host and port"):
        Proxy.to("postgresql:///postgres")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process with one child, both of which wait for ever."""
    script = (
        "import subprocess, sys; "
        "print(flush=True); subprocess.run([sys.executable, '-c', 'input()'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_frozen_process_stands_still_for_the_length_of_the_block(
    sleeper: subprocess.Popen[bytes],
) -> None:
    with frozen(sleeper.pid):
        assert psutil.Process(sleeper.pid).status() == psutil.STATUS_STOPPED
    wait_until(lambda: psutil.Process(sleeper.pid).status() != psutil.STATUS_STOPPED)


def test_a_killed_process_has_ended(sleeper: subprocess.Popen[bytes]) -> None:
    (child,) = wait_until(lambda: descendants(sleeper.pid))
    kill(child)
    assert has_ended(child)
    kill(sleeper)
    assert has_ended(sleeper.pid)
    assert descendants(sleeper.pid) == []


def test_waiting_gives_back_what_was_waited_for() -> None:
    answers = iter([0, 0, 7])
    assert wait_until(lambda: next(answers)) == 7


def test_waiting_in_vain_names_the_condition() -> None:
    with pytest.raises(DeadlinePassed, match=r"not within 0.01 s, last False: .*2 \+ 2 == 5"):
        wait_until(lambda: 2 + 2 == 5, timeout_seconds=0.01)


async def test_waiting_asynchronously_does_the_same() -> None:
    answers = iter([0, 0, 7])

    async def answer() -> int:
        return next(answers)

    assert await wait_until_async(answer) == 7
    answers = iter([0] * 100)
    with pytest.raises(DeadlinePassed):
        await wait_until_async(answer, timeout_seconds=0.01)
