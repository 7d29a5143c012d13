"""One pgqueuer worker process."""

import asyncio
import os

import asyncpg  # type: ignore[import-untyped]
from pgqueuer import PgQueuer
from pgqueuer.models import Job

from benchmarks.contenders.pgqueuer import BATCH, ENTRYPOINT
from benchmarks.event_loop import run_on_loop
from benchmarks.processes.conversation import stop_told, wait_for_go
from benchmarks.run_record import Record, open_record


async def work(url: str, record: Record) -> None:
    """Work until told to stop."""
    connection = await asyncpg.connect(url)
    queue = PgQueuer.from_asyncpg_connection(connection)

    @queue.entrypoint(ENTRYPOINT)
    async def noop(job: Job) -> None:
        record.add(int(job.payload or b"-1"))

    running = asyncio.create_task(queue.qm.run(batch_size=BATCH))
    told = asyncio.create_task(stop_told())
    await asyncio.wait((running, told), return_when=asyncio.FIRST_COMPLETED)
    queue.shutdown.set()
    await running


def main() -> None:
    """Run one worker process."""
    url = os.environ["BENCHMARK_URL"]
    if wait_for_go():
        with open_record() as record:
            run_on_loop(work(url, record))


if __name__ == "__main__":
    main()
