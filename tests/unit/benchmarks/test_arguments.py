from pathlib import Path

import pytest

from benchmarks.arguments import Options, parse
from benchmarks.catalogue import SUMMARIES

NAMES = {"lifecycle": "whole lives", "peers": "beside others"}


def test_a_name_alone_leaves_everything_else_to_the_benchmark() -> None:
    assert parse(["lifecycle"], NAMES) == Options(name="lifecycle")


def test_every_option_reaches_its_field() -> None:
    words = "peers --jobs 20,000 --workers 2 --repeats 5 --only celery,pgqueuer --json out.json"
    assert parse(words.split(), NAMES) == Options(
        name="peers",
        jobs=20_000,
        workers=2,
        repeats=5,
        only=("celery", "pgqueuer"),
        json_path=Path("out.json"),
    )


def test_a_list_needs_no_name() -> None:
    assert parse(["--list"], NAMES).listing


@pytest.mark.parametrize(
    "words,said",
    [
        ([], "which benchmark? lifecycle, peers"),
        (["lifecicle"], "there is no benchmark 'lifecicle'; there are lifecycle, peers"),
        (["lifecycle", "--jobs", "0"], "'0' is not a whole number of at least 1"),
        (["lifecycle", "--workers", "two"], "'two' is not a whole number of at least 1"),
        (["lifecycle", "--job", "5"], "unrecognized arguments"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_hint(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(words, NAMES)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_every_benchmark_has_a_module() -> None:
    folder = Path(__file__).parents[3] / "benchmarks"
    assert [name for name in SUMMARIES if not (folder / f"{name}.py").is_file()] == []
