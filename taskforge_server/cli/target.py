"""Where a command goes: one rule for all of them.

1. `--database-url`, else TASKFORGE_DATABASE_URL: that database, directly.
2. `--url`, else TASKFORGE_URL: that server over HTTP, with TASKFORGE_API_KEY (jobs only).
3. The embedded PostgreSQL in `--data`, else TASKFORGE_DATA_DIRECTORY, else `./.taskforge`, when
   that folder is there: running, or started for the moment.

A flag goes before every setting, and what is said before what is found. `config show` tells which
one it is.
"""

import contextlib
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from attrs import frozen

from taskforge_client.errors import Unreachable
from taskforge_server.cli.settings import Settings, read_settings

F = TypeVar("F", bound=Callable[..., Any])
POSTGRESQL_FOLDER: Final = "postgresql"


class TargetKind(StrEnum):
    """The three ways to a TaskForge."""

    DATABASE = "database"
    HTTP = "http"
    EMBEDDED = "embedded"


@frozen(kw_only=True)
class Target:
    """A way to a TaskForge, and what chose it."""

    kind: TargetKind
    address: str
    source: str
    api_key: str | None = None


@frozen(kw_only=True)
class TargetOptions:
    """What the command line says about the way."""

    database_url: str | None = None
    url: str | None = None
    data: Path | None = None


def target_options(command: F) -> F:
    """Give a command the options that choose its target; they arrive as one `target`."""

    def gather(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        chosen = context.params.setdefault("target", {})
        chosen[parameter.name] = value
        if {"database_url", "url", "data"} <= chosen.keys():
            context.params["target"] = TargetOptions(**chosen)
        return value

    for option in (
        click.option(
            "--data",
            type=click.Path(path_type=Path, file_okay=False),
            help="Folder of the embedded PostgreSQL.",
            callback=gather,
            expose_value=False,
        ),
        click.option(
            "--url",
            metavar="URL",
            help="Server to ask over HTTP.",
            callback=gather,
            expose_value=False,
        ),
        click.option(
            "--database-url",
            metavar="URL",
            help="Database to use directly.",
            callback=gather,
            expose_value=False,
        ),
    ):
        command = option(command)
    return command


def choose_target(options: TargetOptions, settings: Settings | None = None) -> Target:
    """Return where a command goes.

    Raises:
        Unreachable: nothing was said and no folder is there.
        BadSetting: a setting is unknown or wrong.
    """
    known = settings or read_settings()
    stated_key = known.client.get("api_key")
    api_key = None if stated_key is None else stated_key.value
    if options.database_url is not None:
        return Target(
            kind=TargetKind.DATABASE, address=options.database_url, source="--database-url"
        )
    if options.url is not None:
        return _by_url(options.url, "--url", api_key)
    if options.data is not None:
        return Target(kind=TargetKind.EMBEDDED, address=str(options.data), source="--data")
    if known.config.database_url is not None:
        source = known.sources["database_url"]
        return Target(kind=TargetKind.DATABASE, address=known.config.database_url, source=source)
    url = known.client.get("url")
    if url is not None:
        return _by_url(url.value, url.source, api_key)
    folder = known.config.data_directory
    if (folder / POSTGRESQL_FOLDER).is_dir():
        source = known.sources["data_directory"]
        return Target(kind=TargetKind.EMBEDDED, address=str(folder), source=source)
    raise Unreachable(
        "no TaskForge here: neither TASKFORGE_DATABASE_URL nor TASKFORGE_URL is set, and there is "
        f"no {folder} folder; start one with `taskforge dev`, or name one with --database-url, "
        "--url or --data"
    )


@contextlib.contextmanager
def database_of(target: Target, *, create: bool = False) -> Iterator[str]:
    """Give a database's URL; an embedded one is adopted, or runs while the block does.

    Raises:
        Unreachable: there is no embedded PostgreSQL in the folder, and `create` is False.
    """
    if target.kind is TargetKind.DATABASE:
        yield target.address
        return
    from taskforge_server.storage.embedded import start_embedded

    folder = Path(target.address) / POSTGRESQL_FOLDER
    if not create and not folder.is_dir():
        raise Unreachable(
            f"there is no embedded PostgreSQL in {target.address} (by {target.source}); "
            f"`taskforge dev --data {target.address}` makes one"
        )
    with start_embedded(folder) as server:
        yield server.url


def _by_url(url: str, source: str, api_key: str | None) -> Target:
    if url.startswith(("postgresql://", "postgres://")):
        return Target(kind=TargetKind.DATABASE, address=url, source=source)
    return Target(kind=TargetKind.HTTP, address=url, source=source, api_key=api_key)
