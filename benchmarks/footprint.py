"""What the client costs an application: distributions, MiB on disk, milliseconds to import.

Run it with the interpreter of an environment that holds `taskforge-client` and nothing else, as
`nox -s wheel` does. It needs the standard library only, and measures no other part of TaskForge.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

# Names in a requirement end where its extras, version, marker or comment begin.
ENDS_OF_NAME = "[ ;<>=!~(#"
# With these set, every interpreter compiles each module anew.
SLOWS_IMPORTS = {"PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME"}


def required_distributions(name: str) -> dict[str, Distribution]:
    """Return the distribution and all that it needs without extras, by name."""
    found: dict[str, Distribution] = {}
    waiting = [name]
    while waiting:
        current = distribution(waiting.pop())
        if current.metadata["Name"] in found:
            continue
        found[current.metadata["Name"]] = current
        waiting += [needed for needed in names_required(current) if is_installed(needed)]
    return found


def names_required(current: Distribution) -> Iterator[str]:
    """Yield the names that a distribution requires whatever its extras."""
    for requirement in current.requires or []:
        if "extra ==" not in requirement:
            ends = (requirement.find(character) for character in ENDS_OF_NAME)
            yield requirement[: min((end for end in ends if end > 0), default=None)]


def is_installed(name: str) -> bool:
    """Tell whether a distribution is there; one whose marker does not hold is not."""
    try:
        distribution(name)
    except ModuleNotFoundError:
        return False
    return True


def installed_bytes(current: Distribution) -> int:
    """Return the size of a distribution's files, compiled modules included."""
    paths = {Path(str(file.locate())) for file in current.files or []}
    return sum(path.stat().st_size for path in paths if path.is_file())


def import_ms(module: str, runs: int) -> list[float]:
    """Return the milliseconds of importing the module in that many fresh interpreters, sorted."""
    code = (
        "import sys, time; started = time.perf_counter(); __import__(sys.argv[1]); "
        "print((time.perf_counter() - started) * 1000)"
    )
    command = [sys.executable, "-c", code, module]
    environment = {key: os.environ[key] for key in os.environ if key not in SLOWS_IMPORTS}
    times = [
        float(
            subprocess.run(  # noqa: S603 - our own interpreter and code
                command, check=True, capture_output=True, text=True, env=environment
            ).stdout
        )
        for _ in range(runs + 1)
    ]
    return sorted(times[1:])  # the first run writes the compiled modules


def main() -> None:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=15, help="fresh interpreters to measure")
    options = parser.parse_args()
    times = import_ms("taskforge_client", options.runs)
    needed = required_distributions("taskforge-client")
    row = {
        "distributions": len(needed),
        "installed_mib": round(sum(map(installed_bytes, needed.values())) / 2**20, 1),
        "import_min_ms": round(times[0], 1),
        "import_p50_ms": round(statistics.median(times), 1),
        "import_max_ms": round(times[-1], 1),
    }
    print(f"taskforge-client and what it needs: {', '.join(sorted(needed, key=str.lower))}")
    for key, value in row.items():
        print(f"{key:>14}  {value}")


if __name__ == "__main__":
    main()
