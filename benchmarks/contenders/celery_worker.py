"""One Celery worker process."""

import logging
import os
import threading

from benchmarks.contenders.celery import TASK, make_app
from benchmarks.processes.conversation import wait_for_go, wait_for_stop
from benchmarks.run_record import open_record


def main() -> None:
    """Run one worker process in this process's own thread."""
    app = make_app(os.environ["BENCHMARK_URL"])
    logging.getLogger("celery").setLevel(logging.ERROR)
    if not wait_for_go():
        return
    with open_record() as record:

        @app.task(name=TASK, ignore_result=True)  # type: ignore[untyped-decorator]
        def noop(number: int) -> None:
            record.add(number)

        worker = app.Worker(
            pool="solo",
            concurrency=1,
            loglevel="ERROR",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        )

        def stop() -> None:
            wait_for_stop()
            worker.stop()

        threading.Thread(target=stop, daemon=True).start()
        worker.start()


if __name__ == "__main__":
    main()
