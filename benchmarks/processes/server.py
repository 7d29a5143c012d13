"""One TaskForge server node: the engine with all its services, as `taskforge server` runs it."""

from benchmarks.event_loop import run_on_loop
from benchmarks.processes.conversation import stop_told, wait_for_go
from benchmarks.tasks import app
from taskforge_server.telemetry.logs import configure_logs
from taskforge_server.wiring import run_node


async def serve(url: str) -> None:
    """Run the engine until told to stop."""
    async with run_node(url):
        await stop_told()


def main() -> None:
    """Run one node."""
    configure_logs(json=False, level="warning")
    url = app.settings.url
    if wait_for_go():
        run_on_loop(serve(url))


if __name__ == "__main__":
    main()
