"""Runs the `taskforge` command in a process of its own, as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TASKFORGE = (sys.executable, "-m", "taskforge_server")
_PATIENCE_SECONDS = 60


def clean_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with none of TaskForge's settings but those given."""
    inherited = {
        name: text for name, text in os.environ.items() if not name.startswith("TASKFORGE_")
    }
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**inherited, "PYTHONPATH": os.pathsep.join(paths), "NO_COLOR": "1", **settings}


def taskforge(
    *arguments: str,
    folder: Path,
    settings: Mapping[str, str] | None = None,
    database_url: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end in `folder` and return what it printed and its exit code."""
    chosen = dict(settings or {})
    if database_url is not None:
        chosen["TASKFORGE_DATABASE_URL"] = database_url
    return subprocess.run(
        [*TASKFORGE, *arguments],
        cwd=folder,
        env=clean_environment(chosen),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def document(finished: subprocess.CompletedProcess[str]) -> Any:
    """Return the JSON that a command printed."""
    assert finished.stdout, f"exit {finished.returncode}: {finished.stderr}"
    return json.loads(finished.stdout)
