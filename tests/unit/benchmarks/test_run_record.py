from pathlib import Path

from benchmarks.run_record import RunRecord, Runs


def record_of(path: Path, *numbers: int) -> Path:
    record = RunRecord()
    for number in numbers:
        record.add(number)
    record.write(path)
    return path


def test_what_several_processes_noted_is_read_as_one(tmp_path: Path) -> None:
    runs = Runs.read([record_of(tmp_path / "a", 0, 1, 2), record_of(tmp_path / "b", 3, 4)])
    assert list(runs.numbers) == [0, 1, 2, 3, 4]
    assert len(runs.started_ns) == 5
    assert runs.missing(range(5)) == 0
    assert runs.repeated() == 0


def test_jobs_that_never_ran_and_runs_too_many_are_counted_exactly(tmp_path: Path) -> None:
    runs = Runs.read([record_of(tmp_path / "a", 0, 1, 1), record_of(tmp_path / "b", 1, 3)])
    assert runs.missing(range(6)) == 3
    assert runs.repeated() == 2


def test_the_first_start_of_a_job_counts(tmp_path: Path) -> None:
    runs = Runs.read([record_of(tmp_path / "a", 7, 7)])
    assert runs.first_start_ns() == {7: min(runs.started_ns)}


def test_a_worker_that_ran_nothing_leaves_an_empty_record(tmp_path: Path) -> None:
    assert Runs.read([record_of(tmp_path / "a")]).missing(range(2)) == 2
