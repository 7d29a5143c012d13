"""Ties a process's life to its parent's, so that nothing is left behind by a killed one."""

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Final

PARENT_GONE_STATUS: Final = 70
_SET_PARENT_DEATH_SIGNAL: Final = 1


def is_stopped(process_id: int) -> bool:
    """Return whether a process is stopped by a signal; False where the system does not tell."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in {"T", "t"}


def die_with(parent: int, number: signal.Signals) -> None:
    """Have the kernel send this process a signal when the process `parent` dies; Linux only.

    It comes even while C code holds the interpreter. Elsewhere a broken pipe has to tell.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, number)
    if os.getppid() != parent:  # it died before the line above
        os._exit(PARENT_GONE_STATUS)
