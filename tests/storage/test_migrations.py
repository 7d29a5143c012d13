"""The schema is built once however many build it, and says when it does not fit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from attrs import evolve

from taskforge_server.storage.errors import MigrationError, SchemaTooNew, SchemaTooOld
from taskforge_server.storage.migrate import (
    Migration,
    check_schema,
    migrate,
    packaged_migrations,
    pending,
)
from tests.support.postgres import Database

pytestmark = pytest.mark.storage


@pytest.fixture
def empty(database: Database) -> str:
    """The URL of a database without our schema."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("drop schema taskforge cascade")
    return database.url


def test_racing_migrations_apply_each_file_once(empty: str) -> None:
    with ThreadPoolExecutor(4) as executor:
        reports = list(executor.map(migrate, [empty] * 4))
    names = [migration.name for migration in packaged_migrations()]
    assert sorted(name for report in reports for name in report.applied) == names
    assert pending(empty) == ()
    check_schema(empty)
    assert migrate(empty).applied == ()


def test_partitions_made_at_once_by_many_are_made_once(empty: str) -> None:
    migrate(empty)

    def ensure(_: int) -> int:
        with psycopg.connect(empty, autocommit=True) as connection:
            row = connection.execute("select taskforge.ensure_partitions(25)").fetchone()
            assert row is not None
            return int(row[0])

    with ThreadPoolExecutor(4) as executor:
        assert sum(executor.map(ensure, range(4))) == 25 - 8


def test_an_empty_database_is_too_old_and_a_future_one_too_new(empty: str) -> None:
    with pytest.raises(SchemaTooOld, match="taskforge migrate"):
        check_schema(empty)
    migrate(empty)
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("insert into taskforge.migration values (9999, '9999_expand_x', 'x')")
    with pytest.raises(SchemaTooNew, match="9999_expand_x"):
        migrate(empty)


def test_a_file_that_fails_leaves_what_was_before(empty: str) -> None:
    first, *_ = packaged_migrations()
    broken = Migration(
        number=2, phase="expand", name="0002_expand_broken", text="create tabel x ()"
    )
    with pytest.raises(MigrationError, match="0002_expand_broken"):
        migrate(empty, [first, broken])
    assert pending(empty)[0].number == 2


def test_a_file_that_was_edited_afterwards_is_refused(database: Database) -> None:
    first, *rest = packaged_migrations()
    with pytest.raises(MigrationError, match="edited"):
        migrate(database.url, [evolve(first, text=first.text + "\n"), *rest])


def test_files_are_numbered_without_gaps_and_say_their_phase() -> None:
    migrations = packaged_migrations()
    assert [migration.number for migration in migrations] == list(range(1, len(migrations) + 1))
    assert {migration.phase for migration in migrations} <= {"expand", "contract"}
