import ast
import re
import runpy
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.architecture.repository import PACKAGES, ROOT, files, project, relative, workspace

LOCKS = ROOT / ".ci" / "locks"
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==", re.MULTILINE)
REQUIRED = re.compile(r"^([A-Za-z0-9._-]+)")


def version_of(package: str) -> str:
    version = runpy.run_path(str(ROOT / package / "_version.py"))["__version__"]
    assert isinstance(version, str)
    return version


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    match = REQUIRED.match(requirement)
    assert match, f"no distribution name in {requirement!r}"
    return normalized(match[1])


def locked(lock: str) -> set[str]:
    text = (LOCKS / f"{lock}.txt").read_text(encoding="utf-8")
    return {normalized(name) for name in PINNED.findall(text)}


def group(name: str) -> set[str]:
    names: set[str] = set()
    for entry in workspace()["dependency-groups"][name]:
        if isinstance(entry, dict):
            names |= group(entry["include-group"])
        else:
            names.add(requirement_name(entry))
    return names


def declared(*packages: str) -> set[str]:
    """Return the names of what the packages require, their extras included."""
    names: set[str] = set()
    for package in packages:
        table = project(package)
        names |= {requirement_name(entry) for entry in table["dependencies"]}
        for extra in table.get("optional-dependencies", {}).values():
            names |= {requirement_name(entry) for entry in extra}
    return names


def run_requirements() -> set[str]:
    return declared(*PACKAGES) - {package.replace("_", "-") for package in PACKAGES}


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_both_versions_and_the_pin_between_them_agree() -> None:
    version = version_of("taskforge_client")
    assert version_of("taskforge_server") == version
    pins = [
        entry
        for entry in project("taskforge_server")["dependencies"]
        if requirement_name(entry) == "taskforge-client"
    ]
    assert pins == [f"taskforge-client[postgres]=={version}"], "run `nox -s release -- VERSION`"


def test_both_distributions_support_the_same_pythons() -> None:
    client, server = (project(package) for package in PACKAGES)
    assert client["requires-python"] == server["requires-python"] == ">=3.11"
    assert [line for line in client["classifiers"] if "Python ::" in line] == [
        line for line in server["classifiers"] if "Python ::" in line
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_it_declares(package: str) -> None:
    allowed = declared(package) | (declared("taskforge_client") if "server" in package else set())
    distributions = packages_distributions()
    undeclared = {
        f"{relative(path)}: {module}"
        for path in files(".py")
        if relative(path).startswith(f"{package}/")
        for module in imported_modules(path)
        if module not in {*sys.stdlib_module_names, package, "taskforge_client"}
        and (path.name, module) != ("testing.py", "pytest")  # a plugin: pytest loads it
        and not allowed & {normalized(name) for name in distributions.get(module, [module])}
    }
    assert not undeclared, f"declare these in {package}/pyproject.toml: {sorted(undeclared)}"


def test_the_client_alone_stays_small() -> None:
    assert {requirement_name(entry) for entry in project("taskforge_client")["dependencies"]} == {
        "anyio",
        "attrs",
        "httpx",
        "msgspec",
        "tenacity",
    }


@pytest.mark.parametrize(
    "lock,groups",
    [
        ("run", ["backend"]),
        ("test", ["backend", "test"]),
        ("minimums", ["backend", "test"]),
        ("types", ["backend", "types"]),
        ("docs", ["backend", "docs"]),
        ("bench", ["backend", "bench"]),
    ],
)
def test_the_locks_hold_what_the_packages_and_groups_ask_for(lock: str, groups: list[str]) -> None:
    asked = run_requirements().union(*(group(name) for name in groups))
    missing = asked - locked(lock)
    assert not missing, f"run `nox -s lock`: .ci/locks/{lock}.txt lacks {sorted(missing)}"


def test_the_lock_of_the_client_alone_holds_its_dependencies() -> None:
    asked = {requirement_name(entry) for entry in project("taskforge_client")["dependencies"]}
    assert asked <= locked("client"), "run `nox -s lock`"
    assert "psycopg" not in locked("client")


@pytest.mark.parametrize("lock", ["lint", "build"])
def test_the_locks_of_tools_hold_their_group(lock: str) -> None:
    missing = group(lock) - locked(lock)
    assert not missing, f"run `nox -s lock`: .ci/locks/{lock}.txt lacks {sorted(missing)}"


def test_every_locked_file_is_hashed_and_no_lock_names_an_address() -> None:
    for path in sorted(LOCKS.glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text, f"{path.name} names an address"
        if path.name == "constraints.txt":
            continue
        blocks = re.split(r"\n(?=\S)", text.strip())
        unhashed = [block.split()[0] for block in blocks if "--hash=sha256:" not in block]
        assert not unhashed, f"{path.name}: {unhashed}"
