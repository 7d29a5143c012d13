"""`taskforge schedules`: list, show, trigger."""

from typing import Any

import click
import msgspec

from taskforge_client.wire.schedules import ScheduleKind, ScheduleView
from taskforge_server.cli.desk import with_caller
from taskforge_server.cli.groups import HelpfulGroup
from taskforge_server.cli.job_text import plain_payload
from taskforge_server.cli.output import age, json_option, print_fields, print_json, print_table
from taskforge_server.cli.target import TargetOptions, target_options
from taskforge_server.operations import schedules as operations


@click.group(cls=HelpfulGroup)
def schedules() -> None:
    """List, show and trigger schedules."""


@schedules.command("list")
@json_option
@target_options
def list_schedules(*, as_json: bool, target: TargetOptions) -> None:
    """List schedules with their next times."""
    found = with_caller(target, operations.list_schedules)
    if as_json:
        print_json({"schedules": [_document(one) for one in found]})
        return
    headings = ("schedule", "task", "times", "next", "last", "last job", "paused")
    rows = [
        (
            one.spec.name,
            one.spec.task,
            _times(one),
            one.next_at,
            one.last_at,
            one.last_job,
            one.paused,
        )
        for one in found
    ]
    print_table(headings, rows, empty="no schedules")


@schedules.command()
@click.argument("schedule")
@json_option
@target_options
def show(*, schedule: str, as_json: bool, target: TargetOptions) -> None:
    """Show one schedule."""
    found = with_caller(target, lambda caller: operations.show(caller, schedule))
    document = _document(found)
    if as_json:
        print_json(document)
        return
    print_fields(
        [
            ("id", found.id),
            ("schedule", found.spec.name),
            ("task", found.spec.task),
            ("times", _times(found)),
            ("misfire", found.spec.misfire.value),
            ("overlap", found.spec.overlap.value),
            ("queue", found.spec.options.queue),
            ("args", msgspec.json.encode(document["args"], enc_hook=str).decode()),
            ("next", found.next_at),
            ("last", found.last_at),
            ("last job", found.last_job),
            ("paused", found.paused or None),
        ]
    )


@schedules.command()
@click.argument("schedule")
@json_option
@target_options
def trigger(*, schedule: str, as_json: bool, target: TargetOptions) -> None:
    """Send a schedule's job now, beside its own times."""
    made = with_caller(target, lambda caller: operations.trigger(caller, schedule))
    if as_json:
        print_json(made)
    else:
        click.echo(made.id)


def _document(view: ScheduleView) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(view)
    spec = document.pop("spec")
    del spec["payload"], spec["encoding"]
    args = plain_payload(view.spec.payload, view.spec.encoding)
    return {**document, **spec, "args": args}


def _times(view: ScheduleView) -> str:
    if view.spec.kind is ScheduleKind.CRON:
        return f"{view.spec.expression} ({view.spec.timezone})"
    return f"every {age(view.spec.interval_seconds or 0)}"
