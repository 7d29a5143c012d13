"""Workers: list and drain."""

from collections.abc import Sequence

from taskforge_client.wire.fleet import WorkerView
from taskforge_server.operations.caller import Caller
from taskforge_server.operations.names import nothing_named
from taskforge_server.storage import overview


async def list_workers(caller: Caller) -> list[WorkerView]:
    """Return the project's worker incarnations."""
    return await overview.list_workers(caller.database, caller.project)


async def drain(caller: Caller, workers: Sequence[str] | None = None) -> list[str]:
    """Ask workers, or all of the project, to finish what they hold and claim nothing more.

    Raises:
        NotFound: one of those named is not there; the others were asked.
    """
    named = None if workers is None else list(workers)
    asked = await overview.drain_workers(caller.database, caller.project, named)
    missing = sorted(set(named or ()) - set(asked))
    if missing:
        known = [worker.id for worker in await list_workers(caller)]
        raise nothing_named("worker", missing[0], known)
    return asked
