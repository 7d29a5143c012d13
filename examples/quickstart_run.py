"""Runs the quickstart from nothing to its results, with live progress."""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.quickstart import Index, app, index_repository, summarise, take_stock
from taskforge_client.wire.jobs import JobView
from taskforge_client.wire.lists import JobFilter
from taskforge_client.wire.states import JobState
from taskforge_server.cli.stack import Stack, StackOptions, running_stack
from taskforge_server.config.model import Config
from taskforge_server.operations import jobs, queues, schedules
from taskforge_server.rest.ports import bind
from taskforge_server.telemetry.logs import configure_logs

APP = "examples.quickstart:app"
FIRES = 3
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.2


async def main() -> int:
    """Start everything, run the pipeline, print what it found, stop everything."""
    parser = argparse.ArgumentParser(prog="python -m examples.quickstart")
    parser.add_argument("--data", type=Path, help="keep the database in this folder")
    parser.add_argument("--processes", type=int, default=2, help="worker processes")
    chosen = parser.parse_args()
    configure_logs(json=False, level="warning")
    screen = Console(highlight=False)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="taskforge-", ignore_cleanup_errors=True) as scratch:
        options = StackOptions(
            app=APP, data=chosen.data or Path(scratch) / "data", processes=chosen.processes
        )
        screen.print("starting PostgreSQL, a server and workers …")
        with bind("127.0.0.1", 0) as port:
            async with running_stack(options, Config(), port, lambda _text: None) as stack:
                screen.print(f"up in {time.monotonic() - began:.1f} s at {stack.url}")
                os.environ["TASKFORGE_URL"] = stack.database_url
                index, seconds = await run_pipeline(stack, screen)
                fires = await stock_taken(stack)
                await app.aclose()
        show(screen, index, seconds, fires)
    return 0


async def run_pipeline(stack: Stack, screen: Console) -> tuple[Index, float]:
    """Send the first job and follow the pipeline until the join has run."""
    began = time.monotonic()
    last = await (await index_repository.aenqueue()).aresult(timeout=PATIENCE_SECONDS)
    join = summarise.job(last)
    total = len((await join.aview()).after)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=screen,
    ) as progress:
        bar = progress.add_task("indexing", total=total, note="")
        while not (view := await join.aview()).state.is_final:
            waiting, retrying = await left(stack)
            note = f"{retrying} to be tried again" if retrying else ""
            if view.progress is not None:
                note = f"joining: {view.progress.note}"
            progress.update(bar, completed=total - waiting, note=note)
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise TimeoutError(f"the pipeline is not done after {PATIENCE_SECONDS:g} s")
            await asyncio.sleep(LOOK_SECONDS)
        progress.update(bar, completed=total, note="")
    return await join.aresult(), time.monotonic() - began


async def left(stack: Stack) -> tuple[int, int]:
    """Return how many files are not measured yet, and how many of them failed once."""
    for queue in await queues.list_queues(stack.caller):
        if queue.name == "index":
            depth = queue.depth
            return depth["ready"] + depth["running"] + depth["scheduled"], depth["scheduled"]
    return 0, 0


async def stock_taken(stack: Stack) -> list[JobView]:
    """Return the schedule's jobs, once it has made three."""
    wanted = JobFilter(task=take_stock.name, state=JobState.SUCCEEDED)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        page = await jobs.list_jobs(stack.caller, wanted)
        if len(page.jobs) >= FIRES:
            return list(page.jobs)
        await asyncio.sleep(LOOK_SECONDS)
    names = [schedule.spec.name for schedule in await schedules.list_schedules(stack.caller)]
    raise TimeoutError(f"the schedule did not fire {FIRES} times; there are {names}")


def show(screen: Console, index: Index, seconds: float, fires: list[JobView]) -> None:
    """Print what the jobs found and how to look further."""
    command = _command()
    screen.print(
        f"\n[bold]{index.files} files, {index.lines:,} lines, {index.functions:,} functions and "
        f"{index.classes:,} classes[/] indexed by {index.files + 2} jobs in {seconds:.1f} s"
    )
    screen.print(f"{index.retried} jobs failed once and were tried again; the join ran once")
    screen.print(f"the schedule fired {len(fires)} times, one job each\n")
    sheet = Table.grid(padding=(0, 4))
    sheet.add_row(
        _ranking("largest files", "lines", index.largest),
        _ranking("most used words", "times", index.words),
        _ranking("most imported", "times", index.imports),
    )
    screen.print(sheet)
    screen.print(
        "\nEverything was stopped again, and nothing was left behind. To look further:\n"
        f"  {command} dev {APP}     (leaves it running)\n"
        "and from a second terminal:\n"
        f"  {command} enqueue examples.quickstart:index_repository --wait\n"
        f"  {command} jobs list\n"
        f"  {command} schedules list",
        soft_wrap=True,
    )


def _command() -> str:
    """Return how to call `taskforge` from here: its environment need not be the shell's."""
    if shutil.which("taskforge"):
        return "taskforge"
    beside = Path(sys.executable).with_name("taskforge")
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def _ranking(title: str, unit: str, rows: Iterable[tuple[str, int]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column()
    table.add_column(unit, justify="right")
    for name, number in rows:
        table.add_row(name, f"{number:,}")
    return table
