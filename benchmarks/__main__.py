"""Entry point: run one benchmark, print its table, write its JSON."""

import sys
from collections.abc import Sequence

from benchmarks.arguments import parse
from benchmarks.catalogue import SUMMARIES, load
from benchmarks.crew import BenchmarkFailed


def main(arguments: Sequence[str]) -> int:
    """Return 0 when the benchmark gave a result, 1 when it could not."""
    options = parse(arguments, SUMMARIES)
    if options.listing:
        width = max(map(len, SUMMARIES))
        for name, summary in SUMMARIES.items():
            print(f"{name.ljust(width)}  {summary}")
        return 0
    try:
        report = load(options.name).run(options)
    except BenchmarkFailed as failure:
        print(f"{options.name} gives no result: {failure}", file=sys.stderr)
        return 1
    print(report.as_text())
    if options.json_path is not None:
        report.write(options.json_path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
