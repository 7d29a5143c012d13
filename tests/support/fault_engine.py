"""A server node's engine for tests to kill: ``python -m tests.support.fault_engine URL [NAME…]``.

The names are the services to run, none means all. It says ``running`` once they do, and resigns on
SIGTERM.
"""

import asyncio
import signal
import sys

from taskforge_server.wiring import run_node


async def run(url: str, services: list[str]) -> None:
    """Run until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with run_node(url, services=services or None):
        print("running", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2:]))
