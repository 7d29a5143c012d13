"""The settings of a server node: names, defaults, ranges and what each is for. Frozen once made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from attrs import Attribute, field, fields_dict, frozen

Value = TypeVar("Value")
Check = Callable[[Any, "Attribute[Any]", Any], None]


class BadSetting(ValueError):
    """A setting is unknown or wrong.

    Names it, its source, what is wrong and what would be right.
    """

    def __init__(self, name: str, problem: str, right: str, source: str | None = None) -> None:
        place = f" (from {source})" if source else ""
        super().__init__(f"{name}{place}: {problem}; expected {right}")
        self.name = name
        self.problem = problem
        self.right = right
        self.source = source


def _between(low: float, high: float) -> Check:
    def check(_: Any, attribute: Attribute[Any], value: Any) -> None:
        if value is not None and not low <= value <= high:
            raise BadSetting(attribute.name, f"{value} is out of range", f"{low:,g} to {high:,g}")

    return check


def _one_of(*words: str) -> Check:
    def check(_: Any, attribute: Attribute[Any], value: Any) -> None:
        if value not in words:
            raise BadSetting(attribute.name, f"{value!r} is unknown", " or ".join(words))

    return check


def _postgresql(_: Any, attribute: Attribute[Any], value: Any) -> None:
    if value is not None and urlsplit(value).scheme not in {"postgresql", "postgres"}:
        raise BadSetting(
            attribute.name, "it does not start with postgresql://", "postgresql://user@host/name"
        )


def _setting(default: Any, text: str, *checks: Check, secret: bool = False) -> Any:
    return field(
        default=default,
        validator=list(checks) or None,
        metadata={"help": text, "secret": secret},
    )


@frozen(kw_only=True)
class Config:
    """Everything a server node can be told.

    Raises:
        BadSetting: a value is outside its range.
    """

    database_url: str | None = _setting(
        None,
        "PostgreSQL to use; unset, an embedded one serves.",
        _postgresql,
        secret=True,
    )
    data_directory: Path = field(
        factory=lambda: Path(".taskforge"),
        metadata={"help": "Folder of the embedded PostgreSQL.", "secret": False},
    )
    http_host: str = _setting("127.0.0.1", "Address that the HTTP API listens on.")
    http_port: int = _setting(
        8585, "Port of the HTTP API; 0 takes a free one.", _between(0, 65_535)
    )
    pool_connections: int = _setting(
        8, "Most database connections of a server node, beside the doorbell's.", _between(2, 500)
    )
    prepared_statements: bool = _setting(
        True,  # noqa: FBT003 a default, not a call's flag
        "Prepare statements; switch off behind a pooler that does not keep them.",
    )
    retention_days: int | None = _setting(
        30, "Days that finished jobs stay in history; 0 keeps them for ever.", _between(0, 36_500)
    )
    vacuum_dead_rows: int = _setting(
        50_000,
        "Dead rows in a hot table from which on the server vacuums it.",
        _between(1_000, 1e9),
    )
    log_format: str = _setting("text", "Form of log lines.", _one_of("text", "json"))
    log_level: str = _setting(
        "info", "Quietest log lines shown.", _one_of("debug", "info", "warning", "error")
    )


CLIENT_SETTINGS: Final = frozenset({"url", "api_key", "project"})
"""Settings of the client that live in the same environment and file; not ours to judge."""

SETTINGS: Final = tuple(fields_dict(Config))


def help_text(name: str) -> str:
    """Return what a setting is for."""
    text: str = fields_dict(Config)[name].metadata["help"]
    return text


def is_secret(name: str) -> bool:
    """Whether a setting's value must not be shown whole."""
    return bool(fields_dict(Config)[name].metadata["secret"])
