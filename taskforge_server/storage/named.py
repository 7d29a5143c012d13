"""Loads a module's statements from the `.sql` file beside it.

A line `-- name: list_dead :many` begins one, the next such line ends it.
"""

import re
from importlib import resources
from typing import Final, LiteralString

_HEADER: Final = re.compile(r"^-- name: ([a-z][a-z0-9_]*) :(one|many|none)\s*$", re.MULTILINE)


def load_statements(file: str) -> dict[str, LiteralString]:
    """Return the statements of `file` (such as ``dead.sql``) by name.

    Raises:
        ValueError: the file holds no statement, or one name twice.
    """
    text = resources.files("taskforge_server.storage").joinpath(file).read_text(encoding="utf-8")
    headers = list(_HEADER.finditer(text))
    if not headers:
        raise ValueError(f"{file} holds no statement; expected lines as `-- name: list_dead :many`")
    ends = [header.start() for header in headers[1:]] + [len(text)]
    statements: dict[str, LiteralString] = {}
    for header, end in zip(headers, ends, strict=True):
        name = header[1]
        if name in statements:
            raise ValueError(f"{file} holds {name} twice; expected one")
        # The file is this package's own, so its text is as literal as any in the code.
        statements[name] = text[header.end() : end].strip().rstrip(";")
    return statements
