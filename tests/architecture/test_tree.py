import re
import sys
import tempfile
from pathlib import Path

import pytest

from tests.architecture.repository import PACKAGES, ROOT, files, relative

LONGEST_MODULE_LINES = 400
TEXT_SUFFIXES = (
    *(".py", ".sql", ".toml", ".md", ".txt", ".yml", ".yaml", ".json", ".html", ".css", ".js"),
    "",
)
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
INDEX_OPTION = re.compile(
    r"(?<![\w-])(--(extra-)?index(-url)?|--find-links|--trusted-host)[ =]", re.IGNORECASE
)


def test_every_module_is_short_enough_to_read_in_one_sitting() -> None:
    lengths = {
        relative(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in files(".py")
        if not relative(path).startswith("taskforge_client/pb/")
    }
    too_long = {name: length for name, length in lengths.items() if length > LONGEST_MODULE_LINES}
    assert not too_long, f"split these by what they are for (lines): {too_long}"


def test_no_module_hides_behind_a_vague_name() -> None:
    vague = [relative(path) for path in files(".py") if path.stem in VAGUE_NAMES]
    assert not vague, f"name these after what they do: {vague}"


def test_no_file_names_a_folder_of_one_machine() -> None:
    here = {str(ROOT), str(Path.home()), sys.prefix, tempfile.gettempdir() + "/bash"}
    marks = re.compile("|".join(re.escape(place) + r"(?=[/\s\"'`]|$)" for place in sorted(here)))
    found = [
        f"{relative(path)}:{number}: {line.strip()}"
        for path in files(*TEXT_SUFFIXES)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if marks.search(line)
    ]
    assert not found, "these lines hold only on this machine:\n" + "\n".join(found)


def test_no_file_chooses_a_package_index() -> None:
    found = [
        f"{relative(path)}:{number}: {line.strip()}"
        for path in files(*TEXT_SUFFIXES)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if INDEX_OPTION.search(line)
    ]
    assert not found, "the index is the reader's choice:\n" + "\n".join(found)


@pytest.mark.parametrize("package", PACKAGES)
def test_each_distribution_carries_the_licence_and_its_type_marker(package: str) -> None:
    licence = (ROOT / "LICENSE").read_bytes()
    assert (ROOT / package / "LICENSE").read_bytes() == licence
    assert (ROOT / package / "py.typed").exists()


def test_changelog_fragments_are_named_for_towncrier() -> None:
    allowed = re.compile(r"(\d+|\+[\w-]+)(\.\d+)?\.(added|changed|fixed|removed|security)\.md")
    strange = [
        path.name
        for path in (ROOT / "docs" / "changes").iterdir()
        if path.name != "README.md" and not allowed.fullmatch(path.name)
    ]
    assert not strange, f"name these NUMBER.KIND.md, as docs/changes/README.md says: {strange}"


def test_the_index_lists_every_decision() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "index.md").read_text(encoding="utf-8")
    decisions = sorted(path.name for path in folder.glob("*.md") if path.name != "index.md")
    missing = [name for name in decisions if f"({name})" not in index]
    assert not missing, f"link these in docs/decisions/index.md: {missing}"
    numbers = [name.split("-")[0] for name in decisions]
    assert len(numbers) == len(set(numbers)), f"two decisions share a number: {decisions}"
