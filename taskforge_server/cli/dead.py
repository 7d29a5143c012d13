"""`taskforge dead`: the dead letters. Scope and count are shown before any bulk act."""

from collections.abc import Awaitable, Callable
from typing import Any

import click

from taskforge_client.wire.dead import BulkAnswer, DeadFilter, DeadLetter
from taskforge_client.wire.jobs import RetryRequest
from taskforge_client.wire.lists import PAGE_LIMIT
from taskforge_server.cli.desk import with_caller
from taskforge_server.cli.groups import HelpfulGroup
from taskforge_server.cli.job_text import job_document, print_job
from taskforge_server.cli.output import (
    Column,
    ask,
    console,
    json_option,
    note,
    print_json,
    print_table,
)
from taskforge_server.cli.target import TargetOptions, target_options
from taskforge_server.cli.values import json_object
from taskforge_server.operations import dead as operations
from taskforge_server.operations import jobs
from taskforge_server.operations.caller import Caller

Act = Callable[[Caller, DeadFilter, Callable[[int], None]], Awaitable[BulkAnswer]]


@click.group(cls=HelpfulGroup)
def dead() -> None:
    """Look into, retry and purge dead letters."""


@dead.command("list")
@click.option("--queue")
@click.option("--task")
@click.option("--group", help="Fingerprint of an error, as `dead groups` shows it.")
@click.option("--limit", type=click.IntRange(1, 1000), default=PAGE_LIMIT, show_default=True)
@click.option("--cursor", help="Continue after this job, as the last page said.")
@json_option
@target_options
def list_dead(
    *,
    queue: str | None,
    task: str | None,
    group: str | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
    target: TargetOptions,
) -> None:
    """List dead letters, the newest job first."""
    wanted = DeadFilter(queue=queue, task=task, group=group)

    async def work(caller: Caller) -> Any:
        page = await operations.list_dead(caller, wanted, limit=limit, cursor=cursor)
        if not page.letters:
            await jobs.refuse_unknown_names(caller, queue=queue, task=task)
        return page, await operations.count(caller, wanted)

    page, count = with_caller(target, work)
    if as_json:
        print_json({"dead": page.letters, "count": count, "cursor": page.cursor})
        return
    columns = ("id", "task", "queue", "died", "attempts", "error")
    rows = [
        (one.id, one.task, one.queue, one.died_at, one.attempt, _error(one)) for one in page.letters
    ]
    print_table(columns, rows, empty="no dead letters")
    if page.cursor is not None:
        note(f"{len(rows)} of {count:,}; more: --cursor {page.cursor}")


@dead.command()
@click.argument("job")
@json_option
@target_options
def show(*, job: str, as_json: bool, target: TargetOptions) -> None:
    """Show one dead letter: arguments, attempts, errors."""
    view = with_caller(target, lambda caller: jobs.show(caller, job))
    if as_json:
        print_json(job_document(view))
    else:
        print_job(view)


@dead.command()
@click.option("--queue")
@click.option("--limit", type=click.IntRange(1, 1000), default=PAGE_LIMIT, show_default=True)
@json_option
@target_options
def groups(*, queue: str | None, limit: int, as_json: bool, target: TargetOptions) -> None:
    """Show dead letters as groups of like errors, the largest first."""
    found = with_caller(target, lambda caller: operations.groups(caller, queue=queue, limit=limit))
    if as_json:
        print_json({"groups": found})
        return
    print_table(
        [
            "group",
            Column("count", number=True),
            "first",
            "last",
            "task",
            "example",
            "error",
        ],
        [
            (
                one.group or "(none)",
                one.count,
                one.first_at,
                one.last_at,
                one.sample.task,
                one.sample.id,
                _error(one.sample),
            )
            for one in found
        ],
        empty="no dead letters",
    )
    if found:
        note("retry one group: taskforge dead retry --group GROUP")


def _choice_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        target_options,
        json_option,
        click.option("--yes", is_flag=True, help="Don't ask."),
        click.option("--all", "everything", is_flag=True, help="All of them."),
        click.option("--group", help="Those of one group of like errors."),
        click.option("--task", help="Those of one task."),
        click.option("--queue", help="Those of one queue."),
        click.argument("job", nargs=-1),
    ):
        command = option(command)
    return command


@dead.command()
@click.option("--args", type=json_object, help="Run one job again with these arguments instead.")
@_choice_options
def retry(*, args: dict[str, Any] | None, **chosen: Any) -> None:
    """Run dead letters once more: those named, or all that the options choose."""
    if args is None:
        _bulk("retry", operations.retry, **chosen)
        return
    job, target = chosen["job"], chosen["target"]
    if len(job) != 1:
        raise click.UsageError(f"--args takes one job, {len(job)} were named; expected one JOB")
    request = RetryRequest(args=args)
    stored = with_caller(target, lambda caller: jobs.retry(caller, job[0], request))
    if chosen["as_json"]:
        print_json(stored)
    else:
        click.echo(f"{stored.id}: runs in place of {job[0]}")


@dead.command()
@_choice_options
def purge(**chosen: Any) -> None:
    """Take jobs out of the dead letters for good; their history stays until it ages out."""
    _bulk("purge", operations.purge, **chosen)


def _bulk(
    verb: str,
    act: Act,
    *,
    job: tuple[str, ...],
    queue: str | None,
    task: str | None,
    group: str | None,
    everything: bool,
    yes: bool,
    as_json: bool,
    target: TargetOptions,
) -> None:
    if not (job or queue or task or group or everything):
        raise click.UsageError(f"{verb} what? expected JOB ids, --queue, --task, --group or --all")
    wanted = DeadFilter(jobs=job or None, queue=queue, task=task, group=group)
    count = with_caller(target, lambda caller: operations.count(caller, wanted))
    scope = _scope(wanted)
    if count and not job:
        ask(f"{verb} {count:,} dead letters ({scope})?", yes=yes)

    async def work(caller: Caller) -> BulkAnswer:
        from rich.progress import Progress

        with Progress(console=console(stderr=True), transient=True) as progress:
            bar = progress.add_task(verb, total=count)
            return await act(caller, wanted, lambda done: progress.update(bar, completed=done))

    answer = with_caller(target, work) if count else BulkAnswer(asked=0, changed=0)
    if as_json:
        print_json({"asked": answer.asked, "changed": answer.changed})
    else:
        done = {"retry": "run again", "purge": "purged"}[verb]
        click.echo(f"{answer.changed:,} of {answer.asked:,} dead letters {done} ({scope})")
    if job and answer.changed < len(job):
        raise click.ClickException(
            f"{len(job) - answer.changed} of the jobs named are no dead letters"
        )


def _scope(wanted: DeadFilter) -> str:
    parts = [f"{len(wanted.jobs)} named"] if wanted.jobs else []
    for name in ("queue", "task", "group"):
        text = getattr(wanted, name)
        if text is not None:
            parts.append(f"{name} {text}")
    return ", ".join(parts) or "all queues, all tasks"


def _error(letter: DeadLetter) -> str:
    if letter.error is None:
        return letter.reason
    return f"{letter.error.type}: {letter.error.message.partition(chr(10))[0]}"
