"""How a job is shown: as a JSON document with its arguments readable, and as lines for a person."""

from typing import Any

import msgspec

from taskforge_client.values import DECODER, JSON_DECODER
from taskforge_client.wire.jobs import Encoding, JobView
from taskforge_server.cli.output import Column, age, console, print_fields, print_table

_LEFT_OUT = ("payload", "encoding", "result", "result_kept")
LIST_COLUMNS = (
    "id",
    "task",
    "queue",
    Column("state", state=True),
    "attempt",
    "created",
    "note",
)


def job_document(view: JobView) -> dict[str, Any]:
    """Return a job for JSON: the wire value's fields, `args` and `result` as plain values."""
    document: dict[str, Any] = msgspec.to_builtins(view)
    for name in _LEFT_OUT:
        document.pop(name, None)
    document["args"] = plain_payload(view.payload, view.encoding) if view.payload else None
    document["result"] = (
        None if view.result is None else plain_payload(view.result, Encoding.MSGPACK)
    )
    return document


def listed_document(view: JobView) -> dict[str, Any]:
    """Return a job of a list for JSON: lists hold no arguments, results and attempts."""
    document = job_document(view)
    for name in ("args", "result", "attempts", "progress"):
        del document[name]
    return document


def list_row(view: JobView) -> tuple[object, ...]:
    """Return a job's cells under `LIST_COLUMNS`."""
    note = ""
    if view.error is not None:
        note = f"{view.error.type}: {_first_line(view.error.message)}"
    elif view.reason:
        note = view.reason
    elif view.run_at is not None and not view.state.is_final:
        note = f"due {view.run_at.astimezone():%H:%M:%S}"
    attempt = f"{view.attempt}/{view.max_attempts}"
    return (view.id, view.task, view.queue, view.state.value, attempt, view.created_at, note)


def print_job(view: JobView) -> None:
    """Print all there is to say about one job."""
    document = job_document(view)
    took = None
    if view.started_at is not None and view.finished_at is not None:
        took = age((view.finished_at - view.started_at).total_seconds())
    print_fields(
        [
            ("id", view.id),
            ("task", view.task),
            ("queue", view.queue),
            ("state", view.state.value),
            ("reason", view.reason),
            ("attempt", f"{view.attempt} of {view.max_attempts}"),
            ("priority", view.priority or None),
            ("created", view.created_at),
            ("due", view.run_at),
            ("started", view.started_at),
            ("finished", view.finished_at),
            ("took", took),
            ("progress", progress_text(view)),
            ("worker", view.worker),
            ("key", view.key),
            ("tags", view.tags),
            ("meta", view.meta),
            ("after", view.after),
            ("edited from", view.edited_from),
            ("edited as", view.edited_as),
            ("args", _json(document["args"])),
            ("result", _json(document["result"]) if view.result is not None else None),
            ("error", None if view.error is None else f"{view.error.type}: {view.error.message}"),
        ]
    )
    if len(view.attempts) > 1 or any(attempt.error for attempt in view.attempts):
        print_table(
            (
                Column("attempt", number=True),
                Column("moved to", state=True),
                "finished",
                "error",
            ),
            (
                (
                    attempt.attempt,
                    attempt.state.value,
                    attempt.finished_at,
                    ""
                    if attempt.error is None
                    else f"{attempt.error.type}: {_first_line(attempt.error.message)}",
                )
                for attempt in view.attempts
            ),
            empty="",
        )
    if view.error is not None and view.error.traceback:
        console().print(view.error.traceback.rstrip(), markup=False, soft_wrap=True)


def progress_text(view: JobView) -> str | None:
    """Return how far a job says it is, such as ``2 of 3, rendering``; None when it says nothing."""
    progress = view.progress
    if progress is None:
        return None
    text = (
        f"{progress.done:g}"
        if progress.total is None
        else f"{progress.done:g} of {progress.total:g}"
    )
    return f"{text}, {progress.note}" if progress.note else text


def ending(view: JobView) -> str:
    """Return in one line how a job ended, or where it stands."""
    text = f"{view.id} ({view.task}) {view.state.value}"
    if view.error is not None and view.state.value != "succeeded":
        return f"{text}: {view.error.type}: {view.error.message}"
    return f"{text}: {view.reason}" if view.reason else text


def plain_payload(payload: bytes, encoding: Encoding) -> Any:
    """Return the plain values inside a payload, or how many bytes can't be read."""
    decoder = JSON_DECODER if encoding is Encoding.JSON else DECODER
    try:
        return decoder.decode(payload)
    except msgspec.MsgspecError:
        return {"unreadable_bytes": len(payload)}


def _json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value, enc_hook=str).decode()


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
