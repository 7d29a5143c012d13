"""How much memory this process occupies."""

import resource
from pathlib import Path
from typing import Final

_KIB: Final = 1024


def memory_mib() -> float:
    """Return what is resident now; where the system does not tell, the most that ever was."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB
    return pages * resource.getpagesize() / _KIB / _KIB
