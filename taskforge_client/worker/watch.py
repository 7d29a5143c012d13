"""Notices that source files changed, by looking at their times now and then; for development."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})


class SourceWatch:
    """The Python files under some folders."""

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders
        self._seen = self._look()

    def changed(self) -> bool:
        """Return whether a file was written, made or removed since the last call."""
        now = self._look()
        before, self._seen = self._seen, now
        return now != before

    def _look(self) -> dict[str, int]:
        return dict(entry for folder in self._folders for entry in _times(str(folder)))


def folders_of(app_path: str) -> list[Path]:
    """Return where the sources of the app's package are; found without importing the app itself."""
    top = app_path.partition(":")[0].partition(".")[0]
    spec = find_spec(top)
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return [Path(place) for place in spec.submodule_search_locations]
    return [Path(spec.origin).parent] if spec.origin else []


def _times(folder: str) -> Iterator[tuple[str, int]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _SKIPPED:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _times(entry.path)
        elif entry.name.endswith(".py"):
            try:
                yield entry.path, entry.stat().st_mtime_ns
            except OSError:
                continue
