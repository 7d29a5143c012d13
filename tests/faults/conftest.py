"""What every fault is injected into: a trial over a fresh database, and a fleet of processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleet import Fleet
from tests.support.postgres import Database
from tests.support.trial import Trial, new_trial


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Processes that end with the test."""
    made = Fleet(folder=tmp_path)
    yield made
    made.close()


@pytest.fixture
def trial(database: Database, tmp_path: Path) -> Iterator[Trial]:
    """A trial over a fresh database."""
    made = new_trial(database.url, tmp_path)
    yield made
    made.app.close()
