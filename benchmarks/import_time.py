"""What importing the client costs in this environment; `nox -s wheel` measures a bare one."""

import statistics
from typing import Final

from benchmarks import machine
from benchmarks.arguments import Options
from benchmarks.footprint import import_ms, installed_bytes, required_distributions
from benchmarks.report import Report

RUNS_PER_REPEAT: Final = 5
_MIB: Final = 2**20


def run(options: Options) -> Report:
    """Import it in fresh interpreters."""
    times = import_ms("taskforge_client", options.repeats * RUNS_PER_REPEAT)
    needed = required_distributions("taskforge-client")
    size = sum(map(installed_bytes, needed.values()))
    return Report(
        benchmark="import_time",
        machine=machine.describe(),
        rows=[
            {
                "distributions": len(needed),
                "installed_mib": round(size / _MIB, 1),
                "min_ms": round(times[0], 1),
                "p50_ms": round(statistics.median(times), 1),
                "max_ms": round(times[-1], 1),
            }
        ],
        notes=(f"installed with taskforge-client: {', '.join(sorted(needed))}",),
    )
