"""What the architecture tests ask of the repository: its root, its files, its declared names."""

import ast
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("taskforge_client", "taskforge_server")


def files(*suffixes: str) -> list[Path]:
    """Return the repository's files, new ones included and ignored ones left out."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    paths = (ROOT / name for name in listing.stdout.decode().split("\0") if name)
    return [path for path in paths if path.is_file() and path.suffix in (suffixes or path.suffix)]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def project(package: str) -> dict[str, Any]:
    """Return the `[project]` table of one distribution."""
    text = (ROOT / package / "pyproject.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)["project"]
    return table


def workspace() -> dict[str, Any]:
    """Return the root pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def string_constants(path: Path) -> Iterator[str]:
    """Yield every string literal of a module, the docstrings included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
