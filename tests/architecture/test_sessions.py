import ast

from tests.architecture.repository import ROOT


def sessions() -> list[str]:
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(mark).startswith("nox.session") for mark in node.decorator_list)
    ]


def test_every_session_is_described_in_contributing() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    unknown = [name for name in sessions() if f"| `{name}` |" not in text]
    assert not unknown, f"add these nox sessions to the table in CONTRIBUTING.md: {unknown}"


def test_the_script_of_the_ci_runs_the_whole_suite_last() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    calls = [line for line in lines if ".venv/bin/nox -s" in line]
    assert "nox -s tests " in calls[-1]
