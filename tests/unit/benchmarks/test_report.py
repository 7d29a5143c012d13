import json
from pathlib import Path

from benchmarks.report import Report, shown, table

REPORT = Report(
    benchmark="lifecycle",
    machine={"cpu": "a processor", "cores": 2},
    rows=[
        {"workers": 1, "analysed": False, "jobs": 100_000, "lost": 0, "p95_ms": 1.25},
        {"workers": 2, "analysed": True, "jobs": 100_000, "lost": 0, "ratio": None},
    ],
    notes=("A note.",),
)


def test_the_json_has_the_promised_form(tmp_path: Path) -> None:
    REPORT.write(tmp_path / "result.json")
    content = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert list(content) == ["benchmark", "machine", "rows"]
    assert content["benchmark"] == "lifecycle"
    assert content["machine"] == {"cpu": "a processor", "cores": 2}
    assert content["rows"] == REPORT.rows


def test_the_table_holds_every_column_of_any_row() -> None:
    heading, rule, first, second = table(REPORT.rows)
    assert heading.split() == ["workers", "analysed", "jobs", "lost", "p95_ms", "ratio"]
    assert set(rule) == {"-", " "}
    assert first.split() == ["1", "no", "100,000", "0", "1.25", "-"]
    assert second.split() == ["2", "yes", "100,000", "0", "-", "-"]


def test_numbers_stand_to_the_right_and_words_to_the_left() -> None:
    lines = list(table([{"way": "one", "jobs": 5}, {"way": "another", "jobs": 5_000}]))
    assert lines[2:] == ["one          5", "another  5,000"]


def test_the_text_tells_the_machine_and_the_notes() -> None:
    text = REPORT.as_text()
    assert text.startswith("lifecycle\non cpu a processor, cores 2\n")
    assert text.endswith("\n\nA note.")


def test_figures_are_shown_as_people_write_them() -> None:
    assert [shown(value) for value in (None, True, False, 1_234, 0.5, "word")] == [
        "-",
        "yes",
        "no",
        "1,234",
        "0.5",
        "word",
    ]
