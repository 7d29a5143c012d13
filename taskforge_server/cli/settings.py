"""Every setting and its source: the environment, then `taskforge.toml`, then the default."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import frozen

from taskforge_client.errors import NotConfigured
from taskforge_client.settings import CLIENT_SETTINGS, FILE_NAME, PREFIX, SERVER_SETTINGS
from taskforge_server.cli.groups import suggestion

DEFAULTS: Final[dict[str, str | None]] = {
    "url": None,
    "api_key": None,
    "project": "default",
    "database_url": None,
    "data_directory": ".taskforge",
    "http_host": "127.0.0.1",
    "http_port": "8585",
}
SECRETS: Final = frozenset({"api_key", "master_key"})


@frozen(kw_only=True)
class Setting:
    """One setting: its value as text (None: unset) and what it came from."""

    name: str
    value: str | None
    source: str


@frozen
class Settings:
    """All settings by name."""

    by_name: Mapping[str, Setting]

    def text(self, name: str) -> str | None:
        """Return a setting's value; None when it is unset."""
        return self.by_name[name].value

    def source(self, name: str) -> str:
        """Return what a setting came from."""
        return self.by_name[name].source

    def whole(self, name: str) -> int:
        """Return a setting that is a whole number; raises `NotConfigured` for any other."""
        setting = self.by_name[name]
        try:
            return int(setting.value or "")
        except ValueError:
            raise NotConfigured(
                f"{name} from {setting.source} is {setting.value!r}; expected a whole number"
            ) from None


def read_settings(
    environment: Mapping[str, str] | None = None, directory: Path | None = None
) -> Settings:
    """Return every setting; raises `NotConfigured` for an unknown one, naming the nearest."""
    known = CLIENT_SETTINGS | SERVER_SETTINGS
    found = {name: Setting(name=name, value=DEFAULTS.get(name), source="default") for name in known}
    path = (directory or Path.cwd()) / FILE_NAME
    for name, value in _read_file(path).items():
        _refuse_unknown(name, name, str(path), known)
        found[name] = Setting(name=name, value=str(value), source=str(path))
    for variable, text in (os.environ if environment is None else environment).items():
        if variable.startswith(PREFIX):
            name = variable.removeprefix(PREFIX).lower()
            _refuse_unknown(name, variable, "the environment", known)
            found[name] = Setting(name=name, value=text, source=variable)
    return Settings(dict(sorted(found.items())))


def _read_file(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise NotConfigured(f"{path} can't be read: {error}") from None


def _refuse_unknown(name: str, shown: str, where: str, known: frozenset[str]) -> None:
    if name not in known:
        near = suggestion(name, known) or f"; expected one of {', '.join(sorted(known))}"
        raise NotConfigured(f"{shown} in {where} is no setting of TaskForge{near}")
