"""All settings that a command reads, the server's and the client's, each with its source."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import frozen

from taskforge_server.config.model import CLIENT_SETTINGS, Config
from taskforge_server.config.sources import FILE_NAME, PREFIX, Shown, load

_MASK: Final = "********"


@frozen(kw_only=True)
class Stated:
    """A setting of the client that somebody stated, and where."""

    value: str
    source: str


@frozen(kw_only=True)
class Settings:
    """The server's settings with their sources, and what was stated of the client's."""

    config: Config
    sources: Mapping[str, str]
    client: Mapping[str, Stated]
    shown: tuple[Shown, ...]


def read_settings(
    flags: Mapping[str, object] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Settings:
    """Return every setting, the flags before the environment before the file.

    Raises:
        BadSetting: one is unknown, naming the nearest, or wrong.
    """
    variables = os.environ if environment is None else environment
    folder = directory or Path.cwd()
    loaded = load(flags=flags or {}, environment=variables, directory=folder)
    client = _client_settings(variables, folder / FILE_NAME)
    shown = [*loaded.shown()]
    for name in sorted(CLIENT_SETTINGS):
        stated = client.get(name)
        text = "" if stated is None else stated.value
        shown.append(
            Shown(
                name=name,
                value=_MASK if text and name == "api_key" else text,
                source="default" if stated is None else stated.source,
            )
        )
    return Settings(
        config=loaded.config,
        sources=loaded.sources,
        client=client,
        shown=tuple(sorted(shown, key=lambda one: one.name)),
    )


def _client_settings(environment: Mapping[str, str], path: Path) -> dict[str, Stated]:
    # `load` has read the file before and refused one that can't be read.
    content = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = {
        name: Stated(value=str(content[name]), source=FILE_NAME)
        for name in CLIENT_SETTINGS & content.keys()
    }
    for name in CLIENT_SETTINGS:
        variable = PREFIX + name.upper()
        if environment.get(variable):
            found[name] = Stated(value=environment[variable], source=variable)
    return found
