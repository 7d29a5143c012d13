"""An exception as text.

What is stored of it, and the fingerprint by which like failures are grouped. Pure.
"""

import hashlib
import re
import traceback
from types import FrameType, TracebackType
from typing import Final

from taskforge_client.wire.jobs import ErrorView

TRACEBACK_LIMIT: Final = 16 * 1024
MESSAGE_LIMIT: Final = 4 * 1024
_FRAMES_IN_GROUP: Final = 3
_OWN_PACKAGE: Final = "taskforge_client.worker"

# What differs between two failures of one cause: addresses, ids, quoted values and numbers, in this
# order.
_VARIABLE_PARTS: Final = (
    (re.compile(r"\b0[xX][0-9a-fA-F]+\b"), "#"),
    (re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), "#"),
    (re.compile(r"\b[a-z]+_[0-9a-hjkmnp-tv-z]{13}\b"), "#"),
    (re.compile(r"\b(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{8,}\b"), "#"),
    (re.compile(r"'[^'\n]{0,200}'|\"[^\"\n]{0,200}\""), "'#'"),
    (re.compile(r"\d+(?:[.,]\d+)*"), "#"),
    (re.compile(r"\s+"), " "),
)


def error_view(error: BaseException) -> ErrorView:
    """Return what is stored of `error`; any text that PostgreSQL can't hold is replaced."""
    kind = type_name(error)
    message = clean(_message(error))[:MESSAGE_LIMIT]
    trace = skip_own_frames(error.__traceback__)
    return ErrorView(
        type=kind,
        message=message,
        traceback=_format(error, trace),
        group=fingerprint(kind, message, _frames(trace)),
    )


def stated_error(kind: str, message: str) -> ErrorView:
    """Return the view of a failure that no exception stands for, such as a timeout.

    `kind` is its stable name.
    """
    message = clean(message)[:MESSAGE_LIMIT]
    return ErrorView(type=kind, message=message, group=fingerprint(kind, message, ()))


def fingerprint(kind: str, message: str, frames: tuple[str, ...]) -> str:
    """Return 16 hexadecimal digits, the same for failures of one type and place that say alike."""
    text = "\n".join((kind, normalise(message), *frames))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def normalise(message: str) -> str:
    """Return `message` without what differs between like failures.

    Numbers, ids, hexadecimal and quoted values.
    """
    for pattern, replacement in _VARIABLE_PARTS:
        message = pattern.sub(replacement, message)
    return message.strip()


def clean(text: str) -> str:
    """Return `text` without what storage can't hold: NUL characters and lone surrogates."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def type_name(error: BaseException) -> str:
    """Return the error's type as ``module.Name``, without the module for built-in ones."""
    kind = type(error)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def skip_own_frames(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first frame that is not the worker's own.

    The whole one when all are.
    """
    first = trace
    while first is not None and _is_own(first.tb_frame):
        first = first.tb_next
    return first or trace


def _is_own(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(_OWN_PACKAGE)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - a user's __str__ may raise anything, and must not hide the failure
        return f"(its message can't be read: {type(broken).__name__})"


def _format(error: BaseException, trace: TracebackType | None) -> str:
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except Exception:  # noqa: BLE001 - as above
        text = "".join(traceback.format_tb(trace))
    text = clean(text)
    if len(text) <= TRACEBACK_LIMIT:
        return text
    half = TRACEBACK_LIMIT // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def _frames(trace: TracebackType | None) -> tuple[str, ...]:
    frames = [
        f"{frame.f_globals.get('__name__', '?')}:{frame.f_code.co_qualname}"
        for frame, _line in traceback.walk_tb(trace)
    ]
    return tuple(frames[-_FRAMES_IN_GROUP:])
