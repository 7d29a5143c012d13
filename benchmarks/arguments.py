"""The command line of `python -m benchmarks`."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import field, frozen
from attrs.validators import ge, optional

DEFAULT_REPEATS: Final = 3


@frozen(kw_only=True)
class Options:
    """What the caller asked for; None leaves the choice to the benchmark.

    Attributes:
        name: The benchmark; empty with `listing`.
        jobs: How many jobs each measured run takes.
        workers: How many worker processes.
        repeats: How often each row is measured; the median is shown.
        only: Names of the peers to run; none means all.
        json_path: Where to write the result as JSON.
        listing: Show the names of the benchmarks and do nothing else.
    """

    name: str = ""
    jobs: int | None = field(default=None, validator=optional(ge(1)))
    workers: int | None = field(default=None, validator=optional(ge(1)))
    repeats: int = field(default=DEFAULT_REPEATS, validator=ge(1))
    only: tuple[str, ...] = ()
    json_path: Path | None = None
    listing: bool = False


def positive(text: str) -> int:
    """Return a whole number of at least one; underscores and commas may group its digits."""
    try:
        number = int(text.replace(",", ""))
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number


def parse(arguments: Sequence[str], summaries: Mapping[str, str]) -> Options:
    """Return the options of a command line; exits with 2 and says why when it makes no sense.

    Args:
        arguments: The words after the program's name.
        summaries: The benchmarks' names with one line about each.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure TaskForge on this machine.",
        epilog="benchmarks: " + ", ".join(summaries),
        allow_abbrev=False,
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="which benchmark; see --list")
    parser.add_argument("--list", action="store_true", dest="listing", help="name them and end")
    parser.add_argument("--jobs", type=positive, metavar="N", help="jobs in each measured run")
    parser.add_argument("--workers", type=positive, metavar="N", help="worker processes")
    parser.add_argument(
        "--repeats",
        type=positive,
        metavar="N",
        default=DEFAULT_REPEATS,
        help="runs of each row, of which the median is shown (%(default)s)",
    )
    parser.add_argument("--only", metavar="A,B", default="", help="peers: which of them")
    parser.add_argument("--json", type=Path, metavar="FILE", dest="json_path", help="result file")
    chosen = parser.parse_args(arguments)
    if not chosen.listing and chosen.name is None:
        parser.error("which benchmark? " + ", ".join(summaries))
    if chosen.name is not None and chosen.name not in summaries:
        parser.error(f"there is no benchmark {chosen.name!r}; there are {', '.join(summaries)}")
    return Options(
        name=chosen.name or "",
        jobs=chosen.jobs,
        workers=chosen.workers,
        repeats=chosen.repeats,
        only=tuple(name.strip() for name in chosen.only.split(",") if name.strip()),
        json_path=chosen.json_path,
        listing=chosen.listing,
    )
