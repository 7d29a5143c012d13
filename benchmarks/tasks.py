"""The application that is measured: one task that does nothing but note that it ran.

Its URL comes from `TASKFORGE_URL`, as in any application.
"""

from collections.abc import Generator

from benchmarks.run_record import Record, open_record
from taskforge_client import TaskForge

app = TaskForge()


@app.resource
def record() -> Generator[Record, None, None]:
    """One record a worker process."""
    with open_record() as opened:
        yield opened


@app.task
async def noop(number: int) -> None:
    """Note the run."""
    record.get().add(number)
