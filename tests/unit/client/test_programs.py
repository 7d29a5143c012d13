"""What a program that defines tasks sees when it is started, in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[3]

PROGRAM = """
from taskforge_client import TaskForge
app = TaskForge()

@app.task
def work() -> None: ...

print(work.name)
"""


def run_program(*arguments: str, folder: Path, code: str | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": f"{ROOT}:{folder}"},
        input=code,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() + done.stderr.strip()


def test_a_programs_own_module_is_named_as_a_worker_imports_it(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(PROGRAM)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "__init__.py").write_text("")
    (tmp_path / "store" / "tasks.py").write_text(PROGRAM)
    (tmp_path / "odd-name.py").write_text(PROGRAM)
    assert run_program("shop.py", folder=tmp_path) == "shop:work"
    assert run_program("-m", "shop", folder=tmp_path) == "shop:work"
    assert run_program("-m", "store.tasks", folder=tmp_path) == "store.tasks:work"
    assert "name=…" in run_program("odd-name.py", folder=tmp_path)
    assert "name=…" in run_program("-", folder=tmp_path, code=PROGRAM)


def test_importing_the_client_loads_no_road_and_no_event_loop(tmp_path: Path) -> None:
    code = (
        "import sys, taskforge_client\n"
        "heavy = 'asyncio anyio httpx psycopg tenacity pytest ssl'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert run_program("-c", code, folder=tmp_path) == "[]"
