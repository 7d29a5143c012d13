"""`taskforge enqueue`: sends one job."""

import difflib
from datetime import datetime
from typing import Any

import click

from taskforge_client.wire.jobs import DEFAULT_QUEUE, Enqueued, JobOptions, JobSpec, JobView
from taskforge_server.cli.desk import DatabaseDesk, Desk, with_desk
from taskforge_server.cli.output import json_option, note, print_json
from taskforge_server.cli.target import TargetOptions, target_options
from taskforge_server.cli.values import aware_time, duration, json_object
from taskforge_server.cli.waiting import print_ending, wait_for
from taskforge_server.operations import jobs


@click.command()
@click.argument("task")
@click.option("--args", type=json_object, default="{}", help="Named arguments as a JSON object.")
@click.option("--queue", default=DEFAULT_QUEUE, show_default=True)
@click.option("--priority", type=int, default=0, help="-100 to 100, the highest first.")
@click.option("--delay", type=duration, help="Start no earlier than this from now (90s, 1h30m).")
@click.option("--run-at", type=aware_time, help="Start no earlier than this time, with its zone.")
@click.option("--expires", type=duration, help="Cancel it when it has not started by then.")
@click.option("--timeout", type=duration, help="Kill an attempt that runs longer.")
@click.option("--key", help="Name of this request: sent twice, it makes one job.")
@click.option("--tag", "tags", multiple=True, help="Label to find it by; may be repeated.")
@click.option("--after", multiple=True, metavar="JOB", help="Job that must succeed first.")
@click.option("--wait", is_flag=True, help="Wait until it is final and print its result.")
@click.option("--wait-timeout", type=duration, help="Give up waiting after this long.")
@json_option
@target_options
@click.pass_context
def enqueue(
    context: click.Context,
    *,
    task: str,
    args: dict[str, Any],
    queue: str,
    priority: int,
    delay: float | None,
    run_at: datetime | None,
    expires: float | None,
    timeout: float | None,
    key: str | None,
    tags: tuple[str, ...],
    after: tuple[str, ...],
    wait: bool,
    wait_timeout: float | None,
    as_json: bool,
    target: TargetOptions,
) -> None:
    """Send one job of TASK, a name such as shop.orders:charge.

    Prints the job's id; with --wait its result, and exits 1 unless it succeeds.
    """
    spec = JobSpec(
        task=task,
        args=args,
        options=JobOptions(
            queue=queue,
            priority=priority,
            delay_seconds=delay,
            run_at=run_at,
            expires_seconds=expires,
            timeout_seconds=timeout,
            key=key,
            tags=tags,
            after=after,
        ),
    )

    async def send(desk: Desk) -> tuple[Enqueued, JobView | None]:
        await _warn_of_a_strange_name(desk, task)
        stored = await desk.enqueue(spec)
        if stored.deduplicated:
            note(f"{stored.id} stood there before, by its key")
        return stored, await wait_for(desk, stored.id, wait_timeout) if wait else None

    stored, view = with_desk(target, send)
    if view is not None:
        context.exit(print_ending(view, as_json=as_json))
    elif as_json:
        print_json(stored)
    else:
        click.echo(stored.id)


async def _warn_of_a_strange_name(desk: Desk, task: str) -> None:
    """Any name may be sent, since workers may come later; one that was never sent may be a slip."""
    if not isinstance(desk, DatabaseDesk):
        return
    known = await jobs.known_tasks(desk.caller)
    near = difflib.get_close_matches(task, known, n=1, cutoff=0.8)
    if near and task not in known:
        note(f"no job of {task!r} was sent lately; if you meant {near[0]!r}, cancel this one")
