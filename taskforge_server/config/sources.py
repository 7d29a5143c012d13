"""Reads settings in layers, each value with its source.

Flags, environment, `taskforge.toml`, defaults.

The environment, the file's folder and the flags are passed in. An unknown name is refused with the
nearest known one.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from attrs import frozen

from taskforge_server.config.model import CLIENT_SETTINGS, SETTINGS, BadSetting, Config, is_secret

PREFIX: Final = "TASKFORGE_"
FILE_NAME: Final = "taskforge.toml"
DEFAULT_SOURCE: Final = "default"
_MASK: Final = "********"


@frozen(kw_only=True)
class Shown:
    """One setting as `config show` prints it: secrets are masked."""

    name: str
    value: str
    source: str


@frozen(kw_only=True)
class Loaded:
    """The settings, and for each name where its value came from."""

    config: Config
    sources: Mapping[str, str]

    def shown(self) -> tuple[Shown, ...]:
        """Return every setting with its source, fit to be shown."""
        return tuple(
            Shown(
                name=name,
                value=_as_text(name, getattr(self.config, name)),
                source=self.sources[name],
            )
            for name in SETTINGS
        )


def load(*, flags: Mapping[str, object], environment: Mapping[str, str], directory: Path) -> Loaded:
    """Return the settings of this process.

    Args:
        flags: what the command line says, by setting; None means that it says nothing.
        environment: the variables, of which those that start with TASKFORGE_ count.
        directory: the folder in which `taskforge.toml` is looked for.

    Raises:
        BadSetting: a name is unknown, or a value can't be read or is out of range.
    """
    values: dict[str, object] = {}
    sources = dict.fromkeys(SETTINGS, DEFAULT_SOURCE)
    layers: list[tuple[str, str, object]] = [
        *_file_layer(directory / FILE_NAME),
        *_environment_layer(environment),
        *((name, f"--{name.replace('_', '-')}", value) for name, value in flags.items()),
    ]
    for name, source, value in layers:
        if value is None or name in CLIENT_SETTINGS:
            continue
        if name not in SETTINGS:
            raise _unknown(name, source)
        values[name] = _read(name, value, source)
        sources[name] = source
    try:
        config = Config(**values)  # type: ignore[arg-type]  # read by name, checked by the class
    except BadSetting as bad:
        raise BadSetting(bad.name, bad.problem, bad.right, sources[bad.name]) from None
    return Loaded(config=config, sources=sources)


def _file_layer(path: Path) -> list[tuple[str, str, object]]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(FILE_NAME, f"it can't be read ({error})", "a readable TOML file") from None
    return [(name, FILE_NAME, value) for name, value in content.items()]


def _environment_layer(environment: Mapping[str, str]) -> list[tuple[str, str, object]]:
    return [
        (variable.removeprefix(PREFIX).lower(), variable, text)
        for variable, text in environment.items()
        if variable.startswith(PREFIX) and text
    ]


def _unknown(name: str, source: str) -> BadSetting:
    known = sorted((*SETTINGS, *CLIENT_SETTINGS))
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    right = f"{near[0]}, perhaps" if near else f"one of {', '.join(known)}"
    return BadSetting(name, "there is no such setting", right, source)


def _read(name: str, value: object, source: str) -> object:
    reader = _READERS.get(name, _text)
    try:
        return reader(value)
    except (KeyError, TypeError, ValueError):
        right = _RIGHT.get(reader, "text")
        shown = _MASK if is_secret(name) else repr(value)
        raise BadSetting(name, f"{shown} can't be read", right, source) from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(value)
    return int(value)


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
        _text(value).lower()
    ]


def _days(value: object) -> int | None:
    return _whole(value) or None


def _path(value: object) -> Path:
    return value if isinstance(value, Path) else Path(_text(value))


Reader = Callable[[object], Any]

_READERS: Final[dict[str, Reader]] = {
    "data_directory": _path,
    "http_port": _whole,
    "pool_connections": _whole,
    "prepared_statements": _switch,
    "retention_days": _days,
    "vacuum_dead_rows": _whole,
}
_RIGHT: Final[dict[Reader, str]] = {
    _whole: "a whole number",
    _days: "a whole number of days",
    _switch: "true or false",
    _path: "a path",
}


def _as_text(name: str, value: object) -> str:
    if value is None:
        return ""
    if not is_secret(name):
        return str(value)
    parts = urlsplit(str(value))
    if parts.password is None:
        return str(value)
    return urlunsplit(
        parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", f":{_MASK}@"))
    )
