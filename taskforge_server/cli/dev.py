"""`taskforge dev`: everything on this machine, with a live view."""

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from taskforge_server.cli.loop import run_on_event_loop
from taskforge_server.cli.output import note
from taskforge_server.cli.settings import read_settings

if TYPE_CHECKING:
    import socket

    from rich.live import Live

    from taskforge_server.cli.stack import Stack, StackOptions
    from taskforge_server.config.model import Config

_REFRESH_SECONDS: Final = 0.5


@click.command()
@click.argument("app", required=False)
@click.option("--reload", is_flag=True, help="Restart the workers when the app's sources change.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port of the HTTP API; 0: a free one.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the embedded PostgreSQL.  [default: .taskforge]",
)
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="Jobs that run at once in a worker process.",
)
def dev(
    *,
    app: str | None,
    reload: bool,
    port: int | None,
    data: Path | None,
    processes: int,
    concurrency: int,
) -> None:
    """Run everything here: database, server, and workers for APP, a path such as shop:app.

    An embedded PostgreSQL serves unless TASKFORGE_DATABASE_URL is set. Nobody needs an API key, and
    only this machine is answered. Ctrl-C drains and leaves nothing running.
    """
    from taskforge_server.cli.stack import StackOptions
    from taskforge_server.rest.ports import bind
    from taskforge_server.telemetry.logs import configure_logs

    config = read_settings({"http_port": port, "data_directory": data}).config
    configure_logs(json=config.log_format == "json", level=config.log_level)
    options = StackOptions(
        app=app,
        data=config.data_directory,
        database_url=None if data is not None else config.database_url,
        processes=processes,
        concurrency=concurrency,
        reload=reload,
    )
    # Without API keys only this machine may be answered, whatever the settings say.
    with bind("127.0.0.1", config.http_port) as bound:
        run_on_event_loop(_run(options, config, bound))


async def _run(options: "StackOptions", config: "Config", bound: "socket.socket") -> None:
    from taskforge_server.cli.stack import running_stack
    from taskforge_server.cli.terminal import live_view

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    asked = 0
    running: Stack | None = None

    def interrupted() -> None:
        nonlocal asked
        asked += 1
        stop.set()
        if running is None:
            if main is not None:
                main.cancel()
        elif asked > 1:
            running.hasten()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted)
    note("starting …")
    try:
        async with running_stack(options, config, bound, note) as stack:
            running = stack
            note(_greeting(options, stack))
            with live_view() as view:
                await _show_until(stop, stack, view)
            note("stopping: what runs may finish (Ctrl-C again: in haste)")
    except asyncio.CancelledError:
        if not asked:
            raise
    note("stopped; nothing is left running")


async def _show_until(stop: asyncio.Event, stack: "Stack", view: "Live | None") -> None:
    from taskforge_client.errors import TaskForgeError
    from taskforge_server.cli.live import Watcher, failure_line, render, summary

    watcher = Watcher(stack.caller)
    known: set[str] = set()
    said = ""
    while not stop.is_set():
        try:
            snapshot = await watcher.look()
        except TaskForgeError as error:
            note(str(error))
        else:
            if view is not None:
                view.update(render(snapshot, f"TaskForge · {stack.url}"), refresh=True)
            else:
                fresh = [one for one in snapshot.failures if one.id not in known]
                known.update(one.id for one in fresh)
                for letter in fresh:
                    note(failure_line(letter))
                line = summary(snapshot)
                if line != said and snapshot.per_second == 0:
                    note(line)
                    said = line
        try:
            async with asyncio.timeout(_REFRESH_SECONDS):
                await stop.wait()
        except TimeoutError:
            continue


def _greeting(options: "StackOptions", stack: "Stack") -> str:
    lines = [f"TaskForge answers at {stack.url}"]
    if stack.facts is None:
        lines.append("no workers: give the path of an app, as in `taskforge dev shop:app`")
    else:
        queues = ", ".join(stack.facts.queues)
        lines.append(f"{options.app}: {len(stack.facts.tasks)} tasks, queues {queues}")
    where = "" if options.data == Path(".taskforge") else f" --data {options.data}"
    if options.database_url is None:
        lines.append(f"data in {options.data}; try from here: taskforge jobs list{where}")
    if stack.facts is not None and stack.facts.tasks:
        lines.append(f"send a job: taskforge enqueue {stack.facts.tasks[0]}{where} --wait")
    return "\n".join(lines)
