"""A benchmark's result: the table on the screen and the JSON in the file."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from benchmarks.figures import Figure, Row

_TEXT = str
_MISSING = "-"


@frozen(kw_only=True)
class Report:
    """What was measured, on what.

    Attributes:
        benchmark: Its name.
        machine: The machine and PostgreSQL's settings.
        rows: One a line of the table; a key states its unit.
        notes: Sentences for the reader, below the table.
    """

    benchmark: str
    machine: Mapping[str, Figure]
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    def as_json(self) -> str:
        """Return the result as one JSON object with `benchmark`, `machine` and `rows`."""
        content = {
            "benchmark": self.benchmark,
            "machine": dict(self.machine),
            "rows": list(self.rows),
        }
        return json.dumps(content, indent=2)

    def write(self, path: Path) -> None:
        """Write the JSON to a file."""
        path.write_text(self.as_json() + "\n", encoding="utf-8")

    def as_text(self) -> str:
        """Return the machine, the table and the notes for people to read."""
        machine = ", ".join(f"{key} {shown(value)}" for key, value in self.machine.items())
        lines = [self.benchmark, f"on {machine}", "", *table(self.rows)]
        if self.notes:
            lines += ["", *self.notes]
        return "\n".join(lines)


def table(rows: Sequence[Row]) -> Iterable[str]:
    """Return the lines of a table: keys as heading, words to the left, numbers to the right."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[shown(row.get(column)) for column in columns] for row in rows]
    widths = [
        max([len(column), *(len(line[place]) for line in cells)])
        for place, column in enumerate(columns)
    ]
    words = [any(isinstance(row.get(column), _TEXT) for row in rows) for column in columns]
    for line in [columns, ["-" * width for width in widths], *cells]:
        yield "  ".join(
            cell.ljust(width) if is_word else cell.rjust(width)
            for cell, width, is_word in zip(line, widths, words, strict=True)
        ).rstrip()


def shown(value: Figure) -> str:
    """Return a figure as people write it: thousands grouped, yes or no, a dash for nothing."""
    if value is None:
        return _MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
