"""`taskforge server`: one node, engine and HTTP, until it is told to stop."""

import asyncio
import signal
from pathlib import Path

import click

from taskforge_client.errors import NotConfigured
from taskforge_server.cli.loop import run_on_event_loop
from taskforge_server.cli.output import note
from taskforge_server.cli.settings import read_settings
from taskforge_server.cli.target import Target, TargetKind, database_of


@click.command()
@click.option("--host", help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="Port to listen on; 0 takes a free one."
)
@click.option("--database-url", metavar="URL", help="PostgreSQL to use.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of an embedded PostgreSQL to use instead.",
)
@click.option("--migrate", is_flag=True, help="Bring the schema up to date first.")
def server(
    *,
    host: str | None,
    port: int | None,
    database_url: str | None,
    data: Path | None,
    migrate: bool,
) -> None:
    """Run a server node: it schedules, stages, rescues and answers HTTP.

    Any number of nodes share one database. HTTP needs API keys: taskforge admin key create.
    """
    from taskforge_server.rest.ports import bind
    from taskforge_server.storage.migrate import check_schema
    from taskforge_server.storage.migrate import migrate as apply_migrations
    from taskforge_server.telemetry.logs import configure_logs

    settings = read_settings({"http_host": host, "http_port": port, "database_url": database_url})
    config = settings.config
    if data is not None:
        target = Target(kind=TargetKind.EMBEDDED, address=str(data), source="--data")
    elif config.database_url is not None:
        target = Target(kind=TargetKind.DATABASE, address=config.database_url, source="")
    else:
        raise NotConfigured(
            "a server node needs a database: set TASKFORGE_DATABASE_URL, or give --data for an "
            "embedded PostgreSQL; for development there is `taskforge dev`"
        )
    configure_logs(json=config.log_format == "json", level=config.log_level)
    bound = bind(config.http_host, config.http_port)
    with bound, database_of(target, create=True) as url:
        if migrate:
            apply_migrations(url)
        check_schema(url)

        async def run() -> None:
            from taskforge_server.cli.node import serving_node

            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop.set)
            async with serving_node(url, config, bound, key_free=False) as node:
                note(f"TaskForge answers at {node.listening.url}")
                await stop.wait()
                note("stopping: requests in flight are completed")

        run_on_event_loop(run())
