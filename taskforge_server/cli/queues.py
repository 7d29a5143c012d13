"""`taskforge queues`: list, pause, resume."""

import click

from taskforge_server.cli.desk import with_caller
from taskforge_server.cli.groups import HelpfulGroup
from taskforge_server.cli.output import Column, json_option, print_json, print_table
from taskforge_server.cli.target import TargetOptions, target_options
from taskforge_server.operations import queues as operations

_DEPTHS = ("ready", "running", "scheduled", "blocked", "dead")


@click.group(cls=HelpfulGroup)
def queues() -> None:
    """List, pause and resume queues."""


@queues.command("list")
@json_option
@target_options
def list_queues(*, as_json: bool, target: TargetOptions) -> None:
    """List queues with what waits in them."""
    found = with_caller(target, operations.list_queues)
    if as_json:
        print_json({"queues": found})
        return
    print_table(
        [
            "queue",
            *(Column(name, number=True) for name in _DEPTHS),
            "oldest ready",
            "paused",
        ],
        [
            (
                one.name,
                *(one.depth.get(name, 0) for name in _DEPTHS),
                one.oldest_ready_at,
                one.paused,
            )
            for one in found
        ],
        empty="no queues yet; the first job makes one",
    )


@queues.command()
@click.argument("queue")
@click.option("--reason", help="Kept with the queue and shown.")
@target_options
def pause(*, queue: str, reason: str | None, target: TargetOptions) -> None:
    """Keep workers from starting jobs of a queue; jobs may still be sent to it."""
    with_caller(target, lambda caller: operations.pause(caller, queue, reason))
    click.echo(f"{queue} is paused; what runs goes on")


@queues.command()
@click.argument("queue")
@target_options
def resume(*, queue: str, target: TargetOptions) -> None:
    """Let workers start jobs of a queue again."""
    with_caller(target, lambda caller: operations.resume(caller, queue))
    click.echo(f"{queue} runs again")
