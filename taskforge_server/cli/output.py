"""What commands print: rich tables in a terminal, plain aligned text elsewhere, JSON when asked.

Rich honours NO_COLOR; outside a terminal there is only text, to be cut and searched.
"""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
from attrs import field, frozen

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH: Final = 10_000
STATE_STYLES: Final = {
    "succeeded": "green",
    "running": "cyan",
    "ready": "blue",
    "scheduled": "blue",
    "blocked": "magenta",
    "failed": "red",
    "dead": "bold red",
    "cancelled": "yellow",
}

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


@frozen
class Column:
    """One column of a table: its heading, and whether its cells are numbers or states."""

    heading: str
    number: bool = field(default=False, kw_only=True)
    state: bool = field(default=False, kw_only=True)


def console(*, stderr: bool = False) -> "Console":
    """Return a console on standard output or error; outside a terminal no line is wrapped."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False)
    if made.is_terminal:
        return made
    return Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH, no_color=True)


def print_json(value: object) -> None:
    """Print a value as indented JSON; bytes become base64, times ISO 8601."""
    encoded = msgspec.json.encode(value, enc_hook=str)
    sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")


def print_table(
    headings: Sequence[Column | str], rows: Iterable[Sequence[object]], *, empty: str
) -> None:
    """Print rows under headings, or the sentence `empty` when there are none."""
    columns = [Column(one) if isinstance(one, str) else one for one in headings]
    lines = [[_cell(value) for value in row] for row in rows]
    screen = console()
    if not lines:
        screen.print(empty)
    elif screen.is_terminal:
        _print_rich(screen, columns, lines)
    else:
        _print_plain(columns, lines)


def print_fields(fields: Sequence[tuple[str, object]]) -> None:
    """Print names and values, one a line; what has no value is left out."""
    shown = [(name, _cell(value)) for name, value in fields if value not in (None, "", (), {}, [])]
    width = max((len(name) for name, _ in shown), default=0)
    screen = console()
    for name, value in shown:
        style = STATE_STYLES.get(value, "") if name == "state" else ""
        indented = value.replace("\n", "\n" + " " * (width + 2))
        screen.print(f"[bold]{name:<{width}}[/]  ", end="")
        screen.print(indented, style=style, markup=False, soft_wrap=True)


def note(text: str) -> None:
    """Print a remark to standard error, where it disturbs no pipe."""
    click.echo(text, err=True)


def ask(question: str, *, yes: bool) -> None:
    """Ask before a bulk act unless `--yes` was given; with nobody there to ask, refuse."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody is here to ask: repeat it with --yes")
    click.confirm(question, abort=True, err=True)


def short_time(moment: datetime | None) -> str:
    """Return a time in the reader's own zone, to the second."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def age(seconds: float) -> str:
    """Return a duration in its two largest units, such as ``3 h 12 min``."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    parts: list[str] = []
    left = int(seconds)
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}")
        if len(parts) == 2:  # noqa: PLR2004
            break
    return " ".join(parts)


def _cell(value: object) -> str:
    if value is None or isinstance(value, datetime):
        return short_time(value)
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple | list):
        return ", ".join(str(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}={part}" for name, part in value.items())
    return str(value)


def _print_rich(screen: "Console", columns: Sequence[Column], lines: list[list[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.heading, justify="right" if column.number else "left")
    for line in lines:
        cells: list[Any] = [
            Text(cell, style=STATE_STYLES.get(cell, "") if column.state else "")
            for column, cell in zip(columns, line, strict=True)
        ]
        table.add_row(*cells)
    screen.print(table)


def _print_plain(columns: Sequence[Column], lines: list[list[str]]) -> None:
    headings = [column.heading for column in columns]
    lines = [[cell.replace("\n", " ") for cell in line] for line in lines]
    widths = [max(len(row[place]) for row in [headings, *lines]) for place in range(len(columns))]
    for row in [headings, *lines]:
        cells = [
            cell.rjust(width) if column.number else cell.ljust(width)
            for column, cell, width in zip(columns, row, widths, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())
