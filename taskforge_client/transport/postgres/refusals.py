"""What PostgreSQL says, in the client's own errors."""

from typing import Final

import psycopg

from taskforge_client.errors import (
    Conflict,
    InvalidRequest,
    KeyReused,
    NotConfigured,
    NotFound,
    Refused,
    TaskForgeError,
    Unreachable,
    default_message,
)
from taskforge_client.wire.problems import STATUS_BY_CODE, Problem, ProblemCode

LEASE_LOST: Final = "TF498"
REFUSALS: Final[dict[str, type[Refused]]] = {
    "TF404": NotFound,
    "TF409": KeyReused,
    "TF410": Conflict,
    "TF422": InvalidRequest,
    LEASE_LOST: Conflict,
}
_NO_SCHEMA: Final = frozenset({"3F000", "42883", "42P01", "42703"})
_LATER: Final = frozenset({"57P01", "57P02", "57P03", "53300", "53100", "53200", "25006"})


def translate(error: psycopg.Error) -> TaskForgeError:
    """Return ours for theirs.

    `Unreachable` for everything that another try may cure, `Refused` for values the database
    refused, `NotConfigured` for a database without our schema or a login that is refused.
    """
    state = error.sqlstate
    if state is None:
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return _no_connection(error)
        return TaskForgeError(f"the database driver failed: {error}")
    kind = REFUSALS.get(state)
    if kind is not None:
        return refusal(kind, _text(error))
    if state in _NO_SCHEMA:
        return NotConfigured(
            f"the database has no TaskForge schema of this version ({_text(error)});"
            " run `taskforge migrate`"
        )
    if state in _LATER or state.startswith("08") or isinstance(error, psycopg.OperationalError):
        return Unreachable(f"the database can't serve now: {_text(error)}")
    return TaskForgeError(f"the database refused: {_text(error)}")


def is_missing_partition(error: psycopg.Error) -> bool:
    """Whether a row found no partition: nobody made them in time, which the caller may do now."""
    return error.sqlstate == "23514" and "no partition of relation" in str(error)


def _no_connection(error: psycopg.Error) -> TaskForgeError:
    text = str(error).strip()
    if "authentication failed" in text or "does not exist" in text:
        return NotConfigured(f"the database refused the login: {text}")
    return Unreachable(f"no connection to the database: {text}")


def _text(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error)


def refusal(kind: type[Refused], text: str) -> Refused:
    """Return a refusal from the database's words, which read ``field: problem; expected what``."""
    field, separator, detail = text.partition(": ")
    named = bool(separator) and field.isidentifier()
    detail, _, hint = (detail if named else text).partition("; ")
    code: ProblemCode = kind.code
    return kind(
        Problem(
            code=code,
            title=default_message(kind),
            status=STATUS_BY_CODE[code],
            field=field if named else None,
            detail=detail,
            hint=hint or None,
        )
    )
