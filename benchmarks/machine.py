"""What the figures were measured on."""

import os
import platform
from pathlib import Path

import psutil

from benchmarks.figures import Figure

_CPU_NAMES = Path("/proc/cpuinfo")
_MIB = 2**20


def describe() -> dict[str, Figure]:
    """Return processor, cores, memory, system, Python and how busy the machine is right now."""
    return {
        "cpu": processor_name(),
        "cores": usable_cores(),
        "memory_mib": psutil.virtual_memory().total // _MIB,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(psutil.getloadavg()[0], 2),
    }


def usable_cores() -> int:
    """Return on how many cores this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """Return the processor's own name where the system tells it, else the architecture."""
    try:
        text = _CPU_NAMES.read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def filesystem_of(folder: Path) -> str:
    """Return the kind of filesystem that a folder lies on: on tmpfs, syncing costs nothing."""
    chosen = ("", "unknown")
    for partition in psutil.disk_partitions(all=True):
        place = partition.mountpoint
        if folder.is_relative_to(place) and len(place) > len(chosen[0]):
            chosen = (place, partition.fstype)
    return chosen[1]
