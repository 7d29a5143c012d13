"""Projects: all that a tenant has belongs to one."""

from typing import Final

from taskforge_server.storage.database import Database, fetch_all
from taskforge_server.storage.named import load_statements

_SQL: Final = load_statements("projects.sql")


async def add_project(database: Database, name: str) -> int:
    """Make a project and return its number."""
    rows = await fetch_all(database, _SQL["add_project"], {"name": name})
    return int(rows[0]["id"])
