"""Every statement in a file: prepared against the schema, and used by exactly one function."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import psycopg
import pytest

from taskforge_server.storage.named import load_statements
from tests.support.protocol import Protocol

pytestmark = pytest.mark.storage

FOLDER = Path(str(resources.files("taskforge_server.storage")))
FILES = sorted(path.name for path in FOLDER.glob("*.sql"))
PARAMETER = re.compile(r"%\((\w+)\)s")


def as_prepared(statement: str) -> str:
    names: list[str] = []
    for name in PARAMETER.findall(statement):
        if name not in names:
            names.append(name)
    text = PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", statement)
    return text.replace("%%", "%")


@pytest.mark.parametrize("file", FILES)
def test_every_statement_fits_the_schema(protocol: Protocol, file: str) -> None:
    for name, statement in load_statements(file).items():
        try:
            protocol.rows(f"prepare {name} as {as_prepared(statement)}".replace("%", "%%"))
        except psycopg.errors.IndeterminateDatatype:
            # Only the values tell the types of bare parameters; psycopg sends them.
            continue
        protocol.rows(f"deallocate {name}")


@pytest.mark.parametrize("file", FILES)
def test_every_statement_is_used(file: str) -> None:
    module = (FOLDER / file).with_suffix(".py").read_text()
    for name in load_statements(file):
        assert re.search(rf'"{name}"', module), f"{file}: nobody uses {name}"


def test_a_file_that_names_one_thing_twice_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(resources, "files", lambda _: tmp_path)
    (tmp_path / "x.sql").write_text("-- name: a :one\nselect 1;\n-- name: a :one\nselect 2;\n")
    with pytest.raises(ValueError, match="holds a twice"):
        load_statements("x.sql")
    (tmp_path / "x.sql").write_text("select 1;\n")
    with pytest.raises(ValueError, match="holds no statement"):
        load_statements("x.sql")
