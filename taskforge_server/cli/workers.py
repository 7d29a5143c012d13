"""`taskforge workers`: list, drain."""

import click

from taskforge_server.cli.desk import with_caller
from taskforge_server.cli.groups import HelpfulGroup
from taskforge_server.cli.output import ask, json_option, print_json, print_table
from taskforge_server.cli.target import TargetOptions, target_options
from taskforge_server.operations import workers as operations


@click.group(cls=HelpfulGroup)
def workers() -> None:
    """List and drain workers."""


@workers.command("list")
@json_option
@target_options
def list_workers(*, as_json: bool, target: TargetOptions) -> None:
    """List worker processes and what they hold."""
    found = with_caller(target, operations.list_workers)
    if as_json:
        print_json({"workers": found})
        return
    headings = ("worker", "host", "process", "queues", "running", "started", "seen", "state")
    rows = [
        (
            one.id,
            one.host,
            str(one.process_id),
            one.queues,
            f"{one.running}/{one.concurrency}",
            one.started_at,
            one.seen_at,
            ("draining" if one.draining else "at work") if one.alive else "lease over",
        )
        for one in found
    ]
    print_table(headings, rows, empty="no workers")


@workers.command()
@click.argument("worker", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@json_option
@target_options
def drain(
    *,
    worker: tuple[str, ...],
    everything: bool,
    yes: bool,
    as_json: bool,
    target: TargetOptions,
) -> None:
    """Ask workers to finish what they hold, claim nothing more and end."""
    if bool(worker) == everything:
        raise click.UsageError("drain which? expected WORKER ids or --all")
    if everything:
        count = len(with_caller(target, operations.list_workers))
        ask(f"drain {count} workers (all of this TaskForge)?", yes=yes)
    asked = with_caller(target, lambda caller: operations.drain(caller, worker or None))
    if as_json:
        print_json({"workers": asked})
    else:
        click.echo("\n".join(f"{one}: asked to drain" for one in asked) or "no workers")
