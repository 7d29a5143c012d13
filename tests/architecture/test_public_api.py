import importlib
from pathlib import Path

import pytest

SNAPSHOT = Path(__file__).with_name("public_api.txt")
PUBLIC_MODULES = ("taskforge_client", "taskforge_server")


def exported() -> list[str]:
    return sorted(
        f"{module}.{name}"
        for module in PUBLIC_MODULES
        for name in importlib.import_module(module).__all__
    )


def test_the_public_names_are_those_of_the_snapshot() -> None:
    promised = SNAPSHOT.read_text(encoding="utf-8").split()
    assert exported() == promised, (
        f"names are promises: add new ones to {SNAPSHOT.name}, and remove one only with a "
        "changelog fragment and a decision record"
    )


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_every_public_name_exists_and_is_documented(module: str) -> None:
    package = importlib.import_module(module)
    assert len(package.__all__) == len(set(package.__all__))
    bare = [
        name
        for name in package.__all__
        if callable(getattr(package, name)) and not getattr(package, name).__doc__
    ]
    assert not bare, f"these public names have no docstring: {bare}"
