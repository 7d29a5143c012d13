from benchmarks.figures import (
    Row,
    median_row,
    percentile,
    percentiles_ms,
    rate,
    ratio,
    significant,
    slope,
)


def test_a_percentile_is_a_value_that_was_measured() -> None:
    hundred = [float(value) for value in range(1, 101)]
    assert [percentile(hundred, percent) for percent in (1, 50, 95, 99, 100)] == [
        1,
        50,
        95,
        99,
        100,
    ]
    assert percentile([7.0], 99) == 7
    assert percentile([1.0, 2.0, 3.0], 50) == 2


def test_percentiles_are_in_milliseconds_whatever_the_order() -> None:
    assert percentiles_ms([3_000_000, 1_000_000, 2_000_000]) == {
        "p50_ms": 2.0,
        "p95_ms": 3.0,
        "p99_ms": 3.0,
    }
    assert percentiles_ms([]) == {"p50_ms": None, "p95_ms": None, "p99_ms": None}


def test_rates_keep_three_digits() -> None:
    assert rate(123_456, 1.0) == 123_000
    assert rate(99_960, 1.0) == 100_000
    assert rate(1, 0.0) is None
    assert rate(1, None) is None
    assert significant(0.4) == 0


def test_a_ratio_needs_both_sides() -> None:
    assert ratio(90, 100) == 0.9
    assert ratio(None, 100) is None
    assert ratio(90, 0) is None


def test_the_median_row_was_measured_and_sums_the_faults_of_all() -> None:
    rows: list[Row] = [
        {"jobs_per_second": 30, "lost": 0, "doubled": 1},
        {"jobs_per_second": 10, "lost": 2, "doubled": 0},
        {"jobs_per_second": 20, "lost": 0, "doubled": 0},
    ]
    assert median_row(rows, "jobs_per_second") == {
        "jobs_per_second": 20,
        "lost": 2,
        "doubled": 1,
        "runs": 3,
    }
    assert median_row(rows[:2], "jobs_per_second")["jobs_per_second"] == 10


def test_a_single_row_stays_as_it_is() -> None:
    assert median_row([{"jobs_per_second": None, "lost": 1}], "jobs_per_second") == {
        "jobs_per_second": None,
        "lost": 1,
    }


def test_a_slope_is_what_grows_for_each_step() -> None:
    assert slope([(0, 10.0), (1, 12.0), (2, 14.0)]) == 2
    assert slope([(0, 10.0)]) == 0
    assert slope([]) == 0
