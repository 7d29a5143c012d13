import ast
import importlib
import re
from collections.abc import Iterator

from taskforge_server.config.model import CLIENT_SETTINGS, SETTINGS
from taskforge_server.domain.states import MOVES
from tests.architecture.repository import PACKAGES, ROOT, files, relative, string_constants

REFERENCE = ROOT / "docs" / "reference"
SETTING = re.compile(r"TASKFORGE_[A-Z][A-Z_]*[A-Z]")


def page(name: str) -> str:
    path = REFERENCE / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def lacking(page_name: str, names: set[str]) -> str:
    """Return a sentence that says what the page does not mention, empty if nothing."""
    text = page(page_name)
    missing = sorted(name for name in names if f"`{name}`" not in text)
    return f"docs/reference/{page_name} lacks {missing}" if missing else ""


def package_constants() -> Iterator[str]:
    for path in files(".py"):
        if relative(path).startswith(PACKAGES):
            yield from string_constants(path)


def package_errors() -> Iterator[type[Exception]]:
    """Yield the public errors that any module of the packages defines."""
    for path in files(".py"):
        if relative(path).startswith(PACKAGES) and path.stem != "__main__":
            name = relative(path).removesuffix(".py").removesuffix("/__init__")
            module = importlib.import_module(name.replace("/", "."))
            for value in vars(module).values():
                is_error = isinstance(value, type) and issubclass(value, Exception)
                if is_error and value.__module__ == module.__name__ and value.__name__[0] != "_":
                    yield value


def test_every_error_is_documented() -> None:
    names = {error.__name__ for error in package_errors()}
    assert not (problem := lacking("errors.md", names)), problem


def test_every_setting_is_documented() -> None:
    names = {f"TASKFORGE_{name.upper()}" for name in (*CLIENT_SETTINGS, *SETTINGS)}
    read = {text for text in package_constants() if SETTING.fullmatch(text)}
    assert not (problem := lacking("settings.md", names | read)), problem


def metrics() -> Iterator[str]:
    """Yield the metrics' names as Prometheus shows them."""
    for path in files(".py"):
        if relative(path).startswith(PACKAGES):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.Call(
                        func=ast.Name("Counter" | "Gauge" | "Histogram" as kind),
                        args=[ast.Constant(str(name)), *_],
                    ):
                        yield f"{name}_total" if kind == "Counter" else name


def test_every_metric_is_documented() -> None:
    names = set(metrics())
    assert names, "no metric was found in the packages"
    assert not (problem := lacking("metrics.md", names)), problem


def test_the_page_of_commands_is_made_from_the_commands() -> None:
    assert ":module: taskforge_server.cli.main" in page("cli.md")
    assert ":command: cli" in page("cli.md")


def test_the_page_of_states_lists_exactly_the_moves() -> None:
    rows = {
        f"| {f'`{state.value}`' if state else '-'} | {event.value.replace('_', ' ')} "
        f"| `{to.value}` |"
        for (state, event), to in MOVES.items()
    }
    listed = {line for line in page("states.md").splitlines() if line.startswith("|")}
    assert not rows - listed, f"docs/reference/states.md lacks {sorted(rows - listed)}"
    assert len(listed) == len(rows) + 2, "docs/reference/states.md lists moves that don't exist"


def test_every_python_example_in_the_documentation_is_python() -> None:
    examples = [
        (relative(path), block)
        for path in files(".md")
        for block in re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), re.DOTALL)
    ]
    assert examples
    for name, block in examples:
        ast.parse(block, filename=name)
