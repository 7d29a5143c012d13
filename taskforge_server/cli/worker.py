"""`taskforge worker`: worker processes for an app, straight from the database."""

import signal
import sys
from pathlib import Path

import click

from taskforge_server.cli.failures import USAGE
from taskforge_server.cli.output import note
from taskforge_server.cli.target import (
    TargetKind,
    TargetOptions,
    choose_target,
    database_of,
    target_options,
)


@click.command()
@click.argument("app")
@click.option(
    "--queues",
    metavar="NAME[:WEIGHT],…",
    help="Queues to take jobs from, and how often each comes first; all of the app's if unset.",
)
@click.option("--processes", type=click.IntRange(1, 256), default=1, show_default=True)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="Jobs that run at once in a process.",
)
@click.option("--reload", is_flag=True, help="Restart when the app's sources change.")
@target_options
@click.pass_context
def worker(
    context: click.Context,
    *,
    app: str,
    queues: str | None,
    processes: int,
    concurrency: int,
    reload: bool,
    target: TargetOptions,
) -> None:
    """Run worker processes for APP, a path such as shop:app.

    SIGTERM and Ctrl-C drain: what runs may finish, what waits goes back. A second one hastens.
    """
    from taskforge_client.worker.queue_weights import queue_weights
    from taskforge_server.cli.app_facts import read_app
    from taskforge_server.cli.desk import with_caller
    from taskforge_server.cli.pool import PoolOptions, make_supervisor
    from taskforge_server.operations import schedules
    from taskforge_server.storage.migrate import check_schema

    chosen = choose_target(target)
    if chosen.kind is TargetKind.HTTP:
        raise click.UsageError(
            f"a worker takes its jobs from the database, and {chosen.source} names a server; "
            "give --database-url or --data"
        )
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    facts = read_app(app)
    weights = queue_weights(facts.queues if queues is None else queues)
    with database_of(chosen) as url:
        check_schema(url)
        with_caller(target, lambda caller: schedules.declare(caller, facts.tasks, facts.schedules))
        options = PoolOptions(app=app, processes=processes, concurrency=concurrency, reload=reload)
        supervisor = make_supervisor(options, url, lambda: weights)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stop())
        signal.signal(signal.SIGCHLD, lambda *_: supervisor.nudge())
        note(
            f"{processes} worker process{'es' if processes > 1 else ''} for {app}: "
            f"{len(facts.tasks)} tasks, queues {', '.join(weights)}"
        )
        status = supervisor.run()
    context.exit(USAGE if status else 0)
