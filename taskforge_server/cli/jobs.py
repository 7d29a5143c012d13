"""`taskforge jobs`: list, show, wait, logs, cancel, retry."""

from datetime import datetime
from typing import Any

import click

from taskforge_client.wire.jobs import CancelAnswer, Enqueued
from taskforge_client.wire.lists import PAGE_LIMIT, JobFilter
from taskforge_client.wire.states import JobState
from taskforge_server.cli.desk import Desk, with_desk
from taskforge_server.cli.groups import HelpfulGroup
from taskforge_server.cli.job_text import (
    LIST_COLUMNS,
    job_document,
    list_row,
    listed_document,
    print_job,
)
from taskforge_server.cli.output import json_option, note, print_json, print_table
from taskforge_server.cli.target import TargetOptions, target_options
from taskforge_server.cli.values import aware_time, duration, json_object
from taskforge_server.cli.waiting import print_ending, wait_for


@click.group(cls=HelpfulGroup)
def jobs() -> None:
    """List, show, wait for, cancel and retry jobs."""


@jobs.command("list")
@click.option("--state", type=click.Choice([state.value for state in JobState]))
@click.option("--queue")
@click.option("--task")
@click.option("--tag")
@click.option("--created-after", type=aware_time, help="Only jobs sent after this time.")
@click.option("--limit", type=click.IntRange(1, 1000), default=PAGE_LIMIT, show_default=True)
@click.option("--cursor", help="Continue after this job, as the last page said.")
@json_option
@target_options
def list_jobs(
    *,
    state: str | None,
    queue: str | None,
    task: str | None,
    tag: str | None,
    created_after: datetime | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
    target: TargetOptions,
) -> None:
    """List jobs, the newest first."""
    wanted = JobFilter(
        state=None if state is None else JobState(state),
        queue=queue,
        task=task,
        tag=tag,
        created_after=created_after,
        limit=limit,
        cursor=cursor,
    )
    page = with_desk(target, lambda desk: desk.list_jobs(wanted))
    if as_json:
        print_json({"jobs": [listed_document(view) for view in page.jobs], "cursor": page.cursor})
        return
    print_table(LIST_COLUMNS, [list_row(view) for view in page.jobs], empty="no such jobs")
    if page.cursor is not None:
        note(f"there are more: --cursor {page.cursor}")


@jobs.command()
@click.argument("job")
@json_option
@target_options
def show(*, job: str, as_json: bool, target: TargetOptions) -> None:
    """Show all there is to know about one job."""
    view = with_desk(target, lambda desk: desk.show(job))
    if as_json:
        print_json(job_document(view))
    else:
        print_job(view)


@jobs.command()
@click.argument("job")
@click.option("--timeout", type=duration, help="Give up after this long (90s, 1h30m).")
@json_option
@target_options
@click.pass_context
def wait(
    context: click.Context,
    *,
    job: str,
    timeout: float | None,
    as_json: bool,
    target: TargetOptions,
) -> None:
    """Wait until a job is final, print its result, and exit 1 unless it succeeded."""
    view = with_desk(target, lambda desk: wait_for(desk, job, timeout))
    context.exit(print_ending(view, as_json=as_json))


@jobs.command()
@click.argument("job")
@json_option
@target_options
def logs(*, job: str, as_json: bool, target: TargetOptions) -> None:
    """Print what a job's attempts logged."""
    view = with_desk(target, lambda desk: desk.show(job))
    if as_json:
        kept = [{"attempt": one.attempt, "log": one.log} for one in view.attempts]
        print_json({"id": view.id, "attempts": kept})
        return
    for one in view.attempts:
        if one.log:
            click.echo(f"attempt {one.attempt}, {one.state.value}:\n{one.log.rstrip()}")
    if not any(one.log for one in view.attempts):
        note(f"{view.id} is {view.state.value}; its attempts logged nothing")


@jobs.command()
@click.argument("job", nargs=-1, required=True)
@click.option("--reason", default="", help="Kept with the job and shown.")
@json_option
@target_options
def cancel(*, job: tuple[str, ...], reason: str, as_json: bool, target: TargetOptions) -> None:
    """Cancel jobs that have not started, and ask the workers of running ones to stop."""

    async def work(desk: Desk) -> list[CancelAnswer]:
        return [await desk.cancel(one, reason) for one in job]

    answers = with_desk(target, work)
    if as_json:
        print_json({"jobs": answers})
        return
    for answer in answers:
        click.echo(
            f"{answer.id}: its worker was asked to stop"
            if answer.requested
            else f"{answer.id}: {answer.state.value}"
        )


@jobs.command()
@click.argument("job", nargs=-1, required=True)
@click.option("--args", type=json_object, help="Run one job again with these arguments instead.")
@json_option
@target_options
def retry(
    *, job: tuple[str, ...], args: dict[str, Any] | None, as_json: bool, target: TargetOptions
) -> None:
    """Run jobs once more that failed, died or were cancelled."""
    if args is not None and len(job) > 1:
        raise click.UsageError("--args takes one job; expected one JOB")

    async def work(desk: Desk) -> list[Enqueued]:
        return [await desk.retry(one, args) for one in job]

    answers = with_desk(target, work)
    if as_json:
        print_json({"jobs": answers})
    else:
        for asked, answer in zip(job, answers, strict=True):
            click.echo(
                f"{answer.id}: runs again"
                if asked == answer.id
                else f"{answer.id}: runs in place of {asked}"
            )
