"""What the tests of the embedded PostgreSQL share."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import psycopg


def ask(url: str, query: str) -> str:
    """The first value that a query gives, as text."""
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])


def access_of(path: Path) -> tuple[int, int, int]:
    """Mode, owner and group of a path."""
    found = path.lstat()
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


def access_of_parents(path: Path) -> dict[str, tuple[int, int, int]]:
    """Mode, owner and group of every folder on the way to a path."""
    return {str(parent): access_of(parent) for parent in path.absolute().parents}


def is_root() -> bool:
    """Whether the tests run as root."""
    return os.geteuid() == 0
