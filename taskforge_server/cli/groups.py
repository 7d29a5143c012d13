"""Click groups that import a command only when called, and name the nearest of a wrong one."""

import difflib
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

import click
from attrs import frozen

_SHOWN = 3


@frozen
class Entry:
    """Where a command lives (``module:attribute``) and its line in the overview."""

    path: str
    summary: str


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Return up to three of the known words that look most like `word`, the best first."""
    return difflib.get_close_matches(word, list(known), n=_SHOWN, cutoff=0.5)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x' or 'y'?`` or, where nothing is near, nothing."""
    near = nearest(word, known)
    return f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""


class HelpfulGroup(click.Group):
    """A group whose complaint about an unknown command names the nearest ones."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` begin with; raises `click.UsageError` for an unknown one."""
        word = args[0]
        if self.get_command(ctx, word) is None and not word.startswith("-"):
            known = self.list_commands(ctx)
            near = suggestion(word, known) or f"; there are {', '.join(known)}"
            raise click.UsageError(f"no such command {word!r}{near}", ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(HelpfulGroup):
    """The root: its commands are a table of `Entry`, imported one at a time."""

    def __init__(self, *args: Any, entries: Mapping[str, Entry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entries = dict(entries)

    def list_commands(self, _context: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.entries)

    def get_command(self, _context: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.path.partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.path} is {type(command).__name__}, expected a click command")
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview from the table, importing nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.entries.items()])
