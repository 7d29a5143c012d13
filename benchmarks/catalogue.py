"""The benchmarks by name. Each is a module with `run(options) -> Report`."""

from importlib import import_module
from typing import Final, Protocol, cast

from benchmarks.arguments import Options
from benchmarks.report import Report

SUMMARIES: Final = {
    "lifecycle": "enqueue, claim, run and finish no-op jobs: jobs per core-second, all CPU counted",
    "enqueue": "send alone, by 50 callers, in bulk, in the caller's transaction and from SQL",
    "latency": "from the call of enqueue to the task's first line, idle and at half load",
    "scale": "1,000,000 ready and 10,000,000 finished jobs against empty tables",
    "horizon": "a snapshot held open throughout against none",
    "memory": "resident memory of server and worker per 100,000 jobs",
    "capacity": "what this machine does, and what a rate of yours would need",
    "peers": "lifecycle, enqueue and latency against other queues, in turn",
    "import_time": "what the client costs an application: packages, MiB, milliseconds to import",
}
"""What each measures. Loading a benchmark's module needs what it measures; its summary doesn't."""


class Benchmark(Protocol):
    """A benchmark's module."""

    def run(self, options: Options) -> Report:
        """Measure."""
        ...


def load(name: str) -> Benchmark:
    """Import a benchmark's module by the name it has in `SUMMARIES`."""
    return cast("Benchmark", import_module(f"benchmarks.{name}"))
