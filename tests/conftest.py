"""Fixtures for every tier: real PostgreSQL databases, and servers that a test may break.

Without `TASKFORGE_DATABASE_URL` all processes of a test run share one embedded server; with it,
tests that only need a database use that server. `@pytest.mark.postgres_versions` runs a test that
asks for `database` on the lowest and on the highest supported PostgreSQL.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import (
    HIGHEST_MAJOR,
    LOWEST_MAJOR,
    Database,
    DatabaseServer,
    PrivateServer,
    copy_data_folder,
    foreign_server,
    make_private_original,
    programs_of,
    shared_server,
)

# Its fixtures, which users switch on in the same way, are tested like the rest.
pytest_plugins = ["taskforge_client.testing"]


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks that this file gives a meaning to."""
    config.addinivalue_line(
        "markers", "postgres_versions: on the lowest and the highest supported PostgreSQL"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what bears the mark on both ends of the supported range."""
    if metafunc.definition.get_closest_marker("postgres_versions") is None:
        return
    if "postgres_major" not in metafunc.fixturenames:
        message = f"{metafunc.definition.nodeid} is marked postgres_versions but uses no database"
        raise pytest.UsageError(message)
    metafunc.parametrize(
        "postgres_major", [LOWEST_MAJOR, HIGHEST_MAJOR], indirect=True, scope="session"
    )


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def postgres_major(request: pytest.FixtureRequest) -> int:
    """Major version of the shared server; set by the mark `postgres_versions`."""
    return int(getattr(request, "param", HIGHEST_MAJOR))


@pytest.fixture(scope="session")
def database_server(run_folder: Path, postgres_major: int) -> Iterator[DatabaseServer]:
    """The shared server of that version, with its migrated template."""
    url = os.environ.get("TASKFORGE_DATABASE_URL")
    with contextlib.ExitStack() as stack:
        if url and postgres_major == HIGHEST_MAJOR:
            yield stack.enter_context(foreign_server(url))
        else:
            programs = programs_of(postgres_major, run_folder / f"programs-{postgres_major}")
            yield stack.enter_context(
                shared_server(run_folder / f"postgresql-{postgres_major}", programs)
            )


@pytest.fixture
def database(database_server: DatabaseServer) -> Iterator[Database]:
    """A fresh, migrated database for this test."""
    with database_server.database() as made:
        yield made


@pytest.fixture(scope="module")
def module_database(database_server: DatabaseServer) -> Iterator[Database]:
    """A fresh, migrated database that the tests of one module share."""
    with database_server.database() as made:
        yield made


@pytest.fixture(scope="session")
def private_original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped, migrated data folder to copy private servers from, one for each process."""
    folder = tmp_path_factory.mktemp("private") / "original"
    make_private_original(folder)
    return folder


@pytest.fixture
def private_server(private_original: Path, tmp_path: Path) -> Iterator[PrivateServer]:
    """A running, migrated server of this test's own, which it may crash, stop and start."""
    folder = tmp_path / "postgresql"
    copy_data_folder(private_original, folder)
    server = PrivateServer(data_directory=folder)
    server.start()
    try:
        yield server
    finally:
        server.close()
