from datetime import UTC, datetime

import click
import pytest

from taskforge_client.wire.jobs import Encoding, ErrorView, JobView, Progress
from taskforge_client.wire.states import JobState
from taskforge_server.cli.config import without_password
from taskforge_server.cli.job_text import (
    ending,
    job_document,
    list_row,
    plain_payload,
    progress_text,
)
from taskforge_server.cli.output import Column, age, ask, print_fields, print_table

pytestmark = pytest.mark.unit

JOB = JobView(
    id="job_0000000000001",
    task="shop:charge",
    queue="mail",
    state=JobState.DEAD,
    priority=0,
    attempt=5,
    max_attempts=5,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    payload=b"\x81\xa1x\x01",
    error=ErrorView(type="ValueError", message="no card\nat all"),
    progress=Progress(done=1, total=3, note="rendering"),
)


def test_a_table_is_plain_text_outside_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    columns: list[Column | str] = ["name", Column("count", number=True), "note"]
    print_table(columns, [("mail", 12_345, None), ("x", 1, "two\nlines")], empty="nothing")
    assert capsys.readouterr().out == (
        "name   count  note\nmail  12,345\nx          1  two lines\n"
    )
    print_table(columns, [], empty="nothing")
    assert capsys.readouterr().out == "nothing\n"


def test_fields_without_a_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields([("state", "dead"), ("note", None), ("tags", ()), ("text", "[bold]\nnext")])
    assert capsys.readouterr().out == "state  dead\ntext   [bold]\n       next\n"


@pytest.mark.parametrize(
    "seconds, text",
    [(0.25, "250 ms"), (5, "5 s"), (60, "1 min 0 s"), (3_725, "1 h 2 min"), (90_000, "1 d 1 h")],
)
def test_ages_have_two_units(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_a_job_is_told_in_a_row_a_line_and_a_document() -> None:
    assert list_row(JOB)[-1] == "ValueError: no card"
    assert ending(JOB).startswith("job_0000000000001 (shop:charge) dead: ValueError: no card")
    assert progress_text(JOB) == "1 of 3, rendering"
    document = job_document(JOB)
    assert document["args"] == {"x": 1}
    assert "payload" not in document


def test_a_payload_that_cannot_be_read_is_measured() -> None:
    assert plain_payload(b"\xc1", Encoding.MSGPACK) == {"unreadable_bytes": 1}
    assert plain_payload(b'{"a":1}', Encoding.JSON) == {"a": 1}


def test_nobody_is_asked_where_nobody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    ask("purge 3?", yes=True)
    with pytest.raises(click.UsageError, match="--yes"):
        ask("purge 3?", yes=False)


def test_passwords_are_not_shown() -> None:
    shown = without_password("postgresql://me:secret@host/x")
    assert shown == "postgresql://me:***@host/x"
    assert without_password("postgresql://host/x") == "postgresql://host/x"
    assert without_password("plain text") == "plain text"
