"""Where TaskForge is and how to be let in.

What the code says, then the environment, then ``taskforge.toml``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import fields_dict, frozen

from taskforge_client.errors import NotConfigured

PREFIX: Final = "TASKFORGE_"
FILE_NAME: Final = "taskforge.toml"
DEFAULT_URL: Final = "http://127.0.0.1:8585"

# Settings of the server, which reads the same environment and file: known here so that only real
# typos are refused.
SERVER_SETTINGS: Final = frozenset(
    {
        "database_url",
        "data_directory",
        "http_host",
        "http_port",
        "grpc_port",
        "log_format",
        "log_level",
        "master_key",
        "pool_connections",
        "prepared_statements",
        "redis_url",
        "retention_days",
        "vacuum_dead_rows",
    }
)


@frozen(kw_only=True)
class ClientSettings:
    """How a client reaches TaskForge.

    `url` with its road, `api_key` for HTTP, `project` for the direct road.
    """

    url: str = DEFAULT_URL
    api_key: str | None = None
    project: str = "default"


CLIENT_SETTINGS: Final = frozenset(fields_dict(ClientSettings))


def from_environment(
    environment: Mapping[str, str], directory: Path, **stated: str | None
) -> ClientSettings:
    """Return settings from what the code `stated`, the environment and `directory`'s file.

    Raises:
        NotConfigured: a setting is unknown (the nearest is named), no text, or the file can't be
            read.
    """
    chosen = _from_file(directory / FILE_NAME)
    for variable, text in environment.items():
        if variable.startswith(PREFIX):
            name = variable.removeprefix(PREFIX).lower()
            _refuse_unknown(name, variable, "the environment", PREFIX)
            chosen[name] = text
    chosen.update({name: text for name, text in stated.items() if text is not None})
    return ClientSettings(**{name: chosen[name] for name in CLIENT_SETTINGS & chosen.keys()})


def _from_file(path: Path) -> dict[str, str]:
    import tomllib

    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise NotConfigured(f"{path} can't be read: {error}") from None
    for name in content:
        _refuse_unknown(name, name, str(path), "")
    chosen = {name: content[name] for name in CLIENT_SETTINGS & content.keys()}
    for name, text in chosen.items():
        if not isinstance(text, str):
            raise NotConfigured(f"{name} in {path} is {text!r}; expected text in quotes")
    return chosen


def _refuse_unknown(name: str, shown: str, where: str, prefix: str) -> None:
    known = CLIENT_SETTINGS | SERVER_SETTINGS
    if name in known:
        return
    from difflib import get_close_matches

    near = get_close_matches(name, sorted(known), n=1)
    shown_known = sorted(prefix + (other.upper() if prefix else other) for other in CLIENT_SETTINGS)
    hint = prefix + (near[0].upper() if prefix else near[0]) if near else ", ".join(shown_known)
    raise NotConfigured(f"{shown} in {where} is no setting of TaskForge; expected {hint}")
