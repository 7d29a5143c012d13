"""Lets a live view and the output of child processes share one terminal.

While the block runs, whatever anybody writes to standard output or error appears line by line above
the view, which alone writes to the terminal itself.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.live import Live


@contextlib.contextmanager
def live_view() -> Iterator["Live | None"]:
    """Give a view that is updated by its owner; None where there is no terminal."""
    from rich.console import Console
    from rich.live import Live

    if not Console().is_terminal:
        yield None
        return
    outputs = [os.dup(descriptor) for descriptor in (1, 2)]
    reading, writing = os.pipe()
    for descriptor in (1, 2):
        os.dup2(writing, descriptor)
    os.close(writing)
    screen = Console(file=os.fdopen(os.dup(outputs[0]), "w"), force_terminal=True, highlight=False)
    view = Live(console=screen, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
    reader = threading.Thread(target=_print_above, args=(reading, view), daemon=True)
    try:
        with view:
            reader.start()
            yield view
    finally:
        for descriptor, output in zip((1, 2), outputs, strict=True):
            os.dup2(output, descriptor)
            os.close(output)
        reader.join(timeout=1.0)


def _print_above(reading: int, view: "Live") -> None:
    with os.fdopen(reading, "r", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            view.console.print(line.rstrip("\n"), markup=False, soft_wrap=True)
