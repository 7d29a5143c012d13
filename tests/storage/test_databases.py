import contextlib

import psycopg
import pytest

from tests.support.postgres import (
    HIGHEST_MAJOR,
    Database,
    DatabaseServer,
    PrivateServer,
    wait_for_lock_waiter,
)

pytestmark = pytest.mark.storage


def table_count(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog',"
            " 'information_schema')"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_database_is_migrated_and_a_test_has_it_alone(
    database: Database, database_server: DatabaseServer
) -> None:
    assert table_count(database.url) > 0
    with psycopg.connect(database.url) as connection:
        connection.execute("CREATE TABLE left_over (a int)")
    with database_server.database() as other, psycopg.connect(other.url) as connection:
        assert connection.execute("SELECT to_regclass('left_over')").fetchone() == (None,)


def test_a_database_goes_even_with_a_connection_left_open(database_server: DatabaseServer) -> None:
    with database_server.database() as made:
        forgotten = psycopg.connect(made.url)
    with psycopg.connect(database_server.url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_database WHERE datname = %s", [made.name]
        ).fetchone()
    assert found == (0,)
    with pytest.raises(psycopg.OperationalError):
        forgotten.execute("SELECT 1")
    forgotten.close()


@pytest.mark.postgres_versions
def test_the_mark_runs_a_test_on_the_version_it_names(
    database: Database, postgres_major: int
) -> None:
    with psycopg.connect(database.url) as connection:
        assert connection.info.server_version // 10_000 == postgres_major


def test_without_the_mark_the_highest_version_serves(database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        assert connection.info.server_version // 10_000 == HIGHEST_MAJOR


def test_a_crashed_server_recovers_on_its_port_and_forgets_what_was_not_committed(
    private_server: PrivateServer,
) -> None:
    url = private_server.url
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (a int)")
        connection.commit()
        connection.execute("INSERT INTO kept VALUES (1)")
        private_server.crash()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    private_server.start()
    assert private_server.url == url
    assert table_count(url) > 0
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_server_whose_postmaster_was_killed_starts_again(private_server: PrivateServer) -> None:
    with psycopg.connect(private_server.url, autocommit=True) as busy:
        private_server.kill_postmaster()
        private_server.start()
        with pytest.raises(psycopg.OperationalError):
            busy.execute("SELECT 1")
    assert table_count(private_server.url) > 0


def test_only_the_connections_that_are_named_are_ended(private_server: PrivateServer) -> None:
    url = private_server.url
    with (
        psycopg.connect(url, application_name="worker-1") as ended,
        psycopg.connect(url, application_name="other") as spared,
    ):
        assert private_server.terminate_backends("worker-%") == 1
        with pytest.raises(psycopg.OperationalError):
            ended.execute("SELECT 1")
        assert spared.execute("SELECT 1").fetchone() == (1,)


def test_a_waiter_for_a_lock_is_seen(database: Database) -> None:
    with (
        psycopg.connect(database.url) as holder,
        contextlib.closing(psycopg.connect(database.url, autocommit=True)) as waiter,
    ):
        holder.execute("SELECT pg_advisory_xact_lock(1)")
        pid = waiter.info.backend_pid
        waiter.pgconn.send_query(b"SELECT pg_advisory_lock(1)")
        assert wait_for_lock_waiter(database.url) == pid
