"""Says that something named is not there, and what may have been meant."""

import difflib
from collections.abc import Sequence
from typing import Final

from taskforge_client.errors import NotFound
from taskforge_client.wire.problems import STATUS_BY_CODE, Problem, ProblemCode

_MOST_NAMED: Final = 10


def nothing_named(kind: str, name: str, names: Sequence[str]) -> NotFound:
    """Return the error for a `kind` of thing that is not there, with the nearest name as hint."""
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    if near:
        hint = f"did you mean {near[0]!r}?"
    else:
        hint = f"there are {', '.join(names[:_MOST_NAMED])}" if names else f"there is no {kind} yet"
    code = ProblemCode.NOT_FOUND
    return NotFound(
        Problem(
            code=code,
            status=STATUS_BY_CODE[code],
            title=f"There is no such {kind}",
            field=kind,
            detail=f"there is no {kind} {name!r}",
            hint=hint,
        )
    )
