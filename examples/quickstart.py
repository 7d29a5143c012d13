"""An index of this repository's own files, built by jobs: fan-out, retries, a join and a schedule.

`python -m examples.quickstart` starts everything on an embedded PostgreSQL in a temporary folder,
runs the pipeline, prints what it found and leaves nothing behind. `taskforge dev
examples.quickstart:app` leaves it running instead.

    index_repository ──┬─ measure(a file) ─┬── summarise
                       ├─ measure(a file) ─┤
                       └─ …  (retried) ────┘        take_stock every two seconds
"""

import ast
import asyncio
import keyword
import re
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from taskforge_client import Retry, TaskForge, current_job, every

ROOT = Path(__file__).resolve().parents[1]
KINDS = (".py", ".md", ".sql", ".toml")
APART = {".git", ".venv", ".nox", ".taskforge", "__pycache__", "site", "build", "dist"}
WORD = re.compile(r"[a-z]{4,}")
FLAKY_SHARE = 10

app = TaskForge()


class BusyDrive(OSError):
    """The drive is busy; a moment later it isn't."""


@dataclass
class Measured:
    """What one file holds."""

    path: str
    lines: int
    words: dict[str, int] = field(default_factory=dict)
    functions: int = 0
    classes: int = 0
    imports: list[str] = field(default_factory=list)


@dataclass
class Index:
    """What all files hold together."""

    files: int
    lines: int
    functions: int
    classes: int
    retried: int
    words: list[tuple[str, int]]
    largest: list[tuple[str, int]]
    imports: list[tuple[str, int]]


@app.task(queue="index")
async def index_repository() -> str:
    """Send a job for each file and one that waits for them all; return the id of the last."""
    paths = find_files()
    receipt = await app.aenqueue_many(measure.bind(path) for path in paths)
    jobs = list(receipt.ids)
    return (await summarise.using(after=jobs).aenqueue(jobs)).id


@app.task(queue="index", retry=Retry.fixed(attempts=4, first=0.3))
def measure(path: str) -> Measured:
    """Count one file's lines, words and symbols; every tenth file fails at the first attempt."""
    job = current_job()
    if job.attempt == 1 and zlib.crc32(path.encode()) % FLAKY_SHARE == 0:
        raise BusyDrive(f"{path} could not be read just now")
    text = (ROOT / path).read_text(encoding="utf-8", errors="replace")
    measured = Measured(path, lines=text.count("\n") + 1)
    words = Counter(word for word in WORD.findall(text.lower()) if word not in keyword.kwlist)
    measured.words = dict(words.most_common(200))
    if path.endswith(".py"):
        read_symbols(measured, text)
    job.log.info("%s has %d lines", path, measured.lines)
    return measured


@app.task(queue="index")
async def summarise(jobs: list[str]) -> Index:
    """Join what the jobs found. It runs once, after the last of them succeeded."""
    words: Counter[str] = Counter()
    imports: Counter[str] = Counter()
    found: list[Measured] = []
    retried = 0
    for place, identifier in enumerate(jobs, start=1):
        view = await measure.job(identifier).aview()
        one = measure.decode_result(view.result or b"")
        found.append(one)
        words.update(one.words)
        imports.update(one.imports)
        retried += view.attempt > 1
        current_job().progress(place, len(jobs), one.path)
    found.sort(key=lambda one: one.lines, reverse=True)
    return Index(
        files=len(found),
        lines=sum(one.lines for one in found),
        functions=sum(one.functions for one in found),
        classes=sum(one.classes for one in found),
        retried=retried,
        words=words.most_common(8),
        largest=[(one.path, one.lines) for one in found[:8]],
        imports=imports.most_common(8),
    )


@app.task(queue="stock", schedule=every(seconds=2))
def take_stock() -> int:
    """Count the files there are, every two seconds, once for each time whatever happens."""
    return len(find_files())


def find_files() -> list[str]:
    """Return the repository's files of the kinds that are indexed, by path."""
    found = []
    for path in ROOT.rglob("*"):
        inside = path.relative_to(ROOT)
        if path.suffix in KINDS and not APART.intersection(inside.parts) and path.is_file():
            found.append(inside.as_posix())
    return sorted(found)


def read_symbols(measured: Measured, text: str) -> None:
    """Count the functions, classes and imports of a Python file."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            measured.functions += 1
        elif isinstance(node, ast.ClassDef):
            measured.classes += 1
        elif isinstance(node, ast.ImportFrom) and node.module:
            measured.imports.append(node.module.partition(".")[0])
        elif isinstance(node, ast.Import):
            measured.imports.extend(name.name.partition(".")[0] for name in node.names)


if __name__ == "__main__":
    from examples.quickstart_run import main

    raise SystemExit(asyncio.run(main()))
