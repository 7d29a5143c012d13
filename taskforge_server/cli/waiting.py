"""Waits for a job where a person can see it."""

import time
from typing import Final

from taskforge_client.errors import ResultTimeout
from taskforge_client.wire.jobs import JobView
from taskforge_client.wire.states import JobState
from taskforge_server.cli.desk import Desk
from taskforge_server.cli.failures import FAILED
from taskforge_server.cli.job_text import ending, job_document, progress_text
from taskforge_server.cli.output import console, note, print_json

_STEP_SECONDS: Final = 0.5
_PATIENT_SECONDS: Final = 3.0
_LONG_STEP_SECONDS: Final = 20.0


async def wait_for(desk: Desk, identifier: str, timeout_seconds: float | None) -> JobView:
    """Return a job once it is final; raises `ResultTimeout` when the time is over first."""
    screen = console(stderr=True)
    until = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    # Only a person at a terminal wants to see each change of progress.
    step = _STEP_SECONDS if screen.is_terminal else _LONG_STEP_SECONDS
    wonder_at: float | None = time.monotonic() + _PATIENT_SECONDS
    with screen.status(f"{identifier} …") as status:
        while True:
            now = time.monotonic()
            left = step if wonder_at is None else min(step, max(0.0, wonder_at - now))
            if until is not None:
                left = min(left, max(0.0, until - now))
            view = await desk.wait(identifier, left)
            if view.state.is_final:
                return view
            if until is not None and time.monotonic() >= until:
                raise ResultTimeout(f"{ending(view)} after {timeout_seconds:g} s")
            if wonder_at is not None and time.monotonic() >= wonder_at:
                wonder_at = None
                why = await desk.why_waiting(view) if view.state is JobState.READY else None
                if why is not None:
                    note(why)
            said = progress_text(view)
            status.update(f"{ending(view)}{': ' + said if said else ''}")


def print_ending(view: JobView, *, as_json: bool) -> int:
    """Print how a job ended and return the exit code: 0 when it succeeded, else 1."""
    document = job_document(view)
    if as_json:
        print_json(document)
    elif view.state is JobState.SUCCEEDED and view.result is not None:
        print_json(document["result"])
    else:
        console(stderr=True).print(ending(view), markup=False, soft_wrap=True)
    return 0 if view.state is JobState.SUCCEEDED else FAILED
