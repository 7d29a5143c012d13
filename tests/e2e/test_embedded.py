import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from taskforge_server.storage.embedded import EmbeddedPostgres, StartPhase, start_embedded
from taskforge_server.storage.errors import DataFolderError, EmbeddedPostgresError, PortInUseError
from tests.support.embedded import access_of, ask
from tests.support.faults import has_ended
from tests.support.postgres import LOWEST_MAJOR, copy_data_folder, programs_of

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def running(
    stopped_data_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedPostgres]:
    folder = tmp_path_factory.mktemp("running") / "data"
    copy_data_folder(stopped_data_folder, folder)
    with start_embedded(folder) as server:
        yield server


def test_data_address_and_password_survive_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "with" / "parents"
    with start_embedded(folder) as server:
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        first, pid = server.url, server.postmaster_pid
    assert pid is not None
    assert has_ended(pid)
    with start_embedded(folder) as server:
        assert server.url == first
        assert not server.adopted
        assert ask(server.url, "SELECT answer FROM kept") == "42"


def test_a_stopped_server_may_be_stopped_again(data_folder: Path) -> None:
    server = start_embedded(data_folder)
    server.stop()
    server.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url)


def test_a_start_tells_what_it_does(tmp_path: Path) -> None:
    phases: list[StartPhase] = []
    with start_embedded(tmp_path / "data", progress=lambda phase, _: phases.append(phase)):
        pass
    assert list(dict.fromkeys(phases)) == [StartPhase.CREATING, StartPhase.STARTING]


@pytest.mark.parametrize(
    "name,value",
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("jit", "off"),
        ("server_encoding", "UTF8"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("password_encryption", "scram-sha-256"),
        ("TimeZone", "UTC"),
    ],
)
def test_what_the_server_is_set_to(running: EmbeddedPostgres, name: str, value: str) -> None:
    assert ask(running.url, f"SHOW {name}") == value


def test_text_sorts_by_code_point_and_knows_letters_beyond_ascii(running: EmbeddedPostgres) -> None:
    assert ask(running.url, "SELECT 'Z' < 'a' AND upper('ä') = 'Ä'") == "True"


def test_the_server_listens_on_the_loopback_address_only(running: EmbeddedPostgres) -> None:
    assert running.postmaster_pid is not None
    listening = [
        (entry.laddr.ip, entry.laddr.port)
        for entry in psutil.Process(running.postmaster_pid).net_connections(kind="all")
        if entry.status == psutil.CONN_LISTEN or isinstance(entry.laddr, str)
    ]
    assert listening == [("127.0.0.1", running.port)]


def test_nobody_logs_in_without_the_password(running: EmbeddedPostgres) -> None:
    address = f"host=127.0.0.1 port={running.port} user=postgres dbname=postgres"
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(address, passfile="/nonexistent")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(address, password="postgres")
    rules = ask(
        running.url,
        "SELECT string_agg(DISTINCT auth_method, ' ') FROM pg_hba_file_rules",
    )
    assert rules == "scram-sha-256"


def test_the_password_and_the_data_are_the_owners_alone(running: EmbeddedPostgres) -> None:
    assert access_of(running.data_directory)[0] == 0o700
    assert access_of(running.data_directory / "password")[0] == 0o600
    assert access_of(running.data_directory / "cluster")[0] == 0o700
    assert running.password in (running.data_directory / "password").read_text()
    assert running.password not in repr(running)


def test_the_password_is_no_part_of_any_command_line(running: EmbeddedPostgres) -> None:
    assert running.postmaster_pid is not None
    server = psutil.Process(running.postmaster_pid)
    guard = server.parent()
    assert guard is not None
    for process in (server, guard):
        assert running.password not in " ".join(process.cmdline())


def test_a_callers_settings_go_over_the_defaults(data_folder: Path) -> None:
    with start_embedded(data_folder, settings={"max_connections": "17"}) as server:
        assert ask(server.url, "SHOW max_connections") == "17"


def test_the_address_is_not_a_callers_setting(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="settings: listen_addresses, port cannot be set"):
        start_embedded(tmp_path / "data", settings={"port": "1", "listen_addresses": "*"})
    assert not (tmp_path / "data").exists()


def test_a_refused_setting_is_told_in_the_servers_words(data_folder: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match='unrecognized configuration parameter "nope"'):
        start_embedded(data_folder, settings={"nope": "1"})
    start_embedded(data_folder).stop()


def test_the_log_goes_to_a_file_of_the_weekday(running: EmbeddedPostgres) -> None:
    names = [path.name for path in running.log_directory.iterdir()]
    assert len(names) == 1
    assert names[0].removeprefix("postgresql-")[:3] in {
        *("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    }


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataFolderError, match=r"not empty.*thesis\.txt.*name an empty"):
        start_embedded(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_no_data_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFolderError, match="cannot be used as data folder"):
        start_embedded(tmp_path / "file")


def test_data_of_another_major_version_is_named_and_left_alone(
    tmp_path: Path, run_folder: Path
) -> None:
    programs = programs_of(LOWEST_MAJOR, run_folder / f"programs-{LOWEST_MAJOR}")
    folder = tmp_path / "data"
    start_embedded(folder, binaries=programs).stop()
    with pytest.raises(DataFolderError, match=r"data of PostgreSQL 15, and this is PostgreSQL 18"):
        start_embedded(folder)
    with start_embedded(folder, binaries=programs) as server:
        assert ask(server.url, "SHOW server_version_num").startswith("15")


def test_a_cluster_folder_without_a_cluster_is_named(data_folder: Path) -> None:
    (data_folder / "cluster" / "PG_VERSION").unlink()
    with pytest.raises(DataFolderError, match="is no PostgreSQL cluster"):
        start_embedded(data_folder)


def test_a_folder_without_programs_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="holds no PostgreSQL program"):
        start_embedded(tmp_path / "data", binaries=tmp_path)


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_a_number_that_is_no_port_is_named(tmp_path: Path, port: int) -> None:
    with pytest.raises(ValueError, match=f"port: {port} is no TCP port"):
        start_embedded(tmp_path / "data", port=port)


def listener(port: int = 0) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def test_the_port_asked_for_is_used(data_folder: Path) -> None:
    with listener() as found:
        port = found.getsockname()[1]
    with start_embedded(data_folder, port=port) as server:
        assert server.port == port
        with pytest.raises(EmbeddedPostgresError, match=f"already runs, on port {port}"):
            start_embedded(data_folder, port=port + 1)
        assert ask(server.url, "SELECT 1") == "1"


def test_a_taken_port_is_named_when_it_was_asked_for(data_folder: Path) -> None:
    with listener() as taken, pytest.raises(PortInUseError, match="is taken by another program"):
        start_embedded(data_folder, port=taken.getsockname()[1])


def test_another_port_is_found_when_the_last_one_is_taken(data_folder: Path) -> None:
    with start_embedded(data_folder) as server:
        last = server.port
    with listener(last), start_embedded(data_folder) as server:
        assert server.port != last
        assert ask(server.url, "SELECT 1") == "1"


class PortThief:
    """Takes a port between the look at it and the server's own attempt."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.loot: socket.socket | None = None

    def __call__(self, phase: StartPhase, _seconds: float) -> None:
        if phase is StartPhase.CREATING and self.loot is None:
            self.loot = listener(self.port)

    def close(self) -> None:
        if self.loot is not None:
            self.loot.close()


def test_a_port_lost_at_the_last_moment_is_replaced(data_folder: Path, tmp_path: Path) -> None:
    with start_embedded(data_folder) as server:
        thief = PortThief(server.port)
    (data_folder / "cluster").rename(tmp_path / "away")
    with start_embedded(data_folder, progress=thief) as server:
        assert thief.loot is not None
        assert server.port != thief.port
        assert ask(server.url, "SELECT 1") == "1"
    thief.close()


def test_a_port_lost_at_the_last_moment_is_named_when_it_was_asked_for(tmp_path: Path) -> None:
    with listener() as found:
        thief = PortThief(found.getsockname()[1])
    with pytest.raises(PortInUseError, match="was taken meanwhile"):
        start_embedded(tmp_path / "data", port=thief.port, progress=thief)
    thief.close()
