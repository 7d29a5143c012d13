"""Turns errors into a line for a person and an exit code; imported only once one is there."""

from typing import Final

from attrs import frozen

from taskforge_client.errors import (
    InvalidRequest,
    NotConfigured,
    NotFound,
    TaskForgeError,
    TaskWithoutApp,
    TooLarge,
    Unreachable,
)
from taskforge_client.wire.problems import MalformedValue
from taskforge_server.config.model import BadSetting
from taskforge_server.rest.ports import PortTaken
from taskforge_server.storage.errors import DatabaseUnreachable, StorageError

FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
NOT_FOUND: Final = 4

_USAGE_ERRORS: Final = (
    BadSetting,
    InvalidRequest,
    MalformedValue,
    NotConfigured,
    TaskWithoutApp,
    TooLarge,
)


@frozen
class Failure:
    """What to print and how to exit."""

    text: str
    exit_code: int


def describe_failure(error: Exception) -> Failure | None:
    """Return what to say about an error that users can mend, None for a mistake of ours."""
    if isinstance(error, _USAGE_ERRORS):
        code = USAGE
    elif isinstance(error, Unreachable | DatabaseUnreachable):
        code = UNREACHABLE
    elif isinstance(error, NotFound):
        code = NOT_FOUND
    elif isinstance(error, TaskForgeError | StorageError | PortTaken):
        code = FAILED
    else:
        return None
    notes = getattr(error, "__notes__", ())
    return Failure("\n".join([f"Error: {error}", *notes]), code)
