"""One Procrastinate worker process."""

import asyncio
import logging
import os

from procrastinate import App, PsycopgConnector

from benchmarks.contenders.procrastinate import CONCURRENCY, POOL, TASK
from benchmarks.event_loop import run_on_loop
from benchmarks.processes.conversation import stop_told, wait_for_go
from benchmarks.run_record import Record, open_record


async def work(url: str, record: Record) -> None:
    """Work until told to stop."""
    app = App(connector=PsycopgConnector(conninfo=url, min_size=POOL, max_size=POOL))

    @app.task(name=TASK)
    async def noop(number: int) -> None:
        record.add(number)

    async with app.open_async():
        running = asyncio.create_task(
            app.run_worker_async(concurrency=CONCURRENCY, install_signal_handlers=False)
        )
        told = asyncio.create_task(stop_told())
        await asyncio.wait((running, told), return_when=asyncio.FIRST_COMPLETED)
        running.cancel()
        await asyncio.wait((running,))


def main() -> None:
    """Run one worker process."""
    logging.getLogger("procrastinate").setLevel(logging.ERROR)
    url = os.environ["BENCHMARK_URL"]
    if wait_for_go():
        with open_record() as record:
            run_on_loop(work(url, record))


if __name__ == "__main__":
    main()
