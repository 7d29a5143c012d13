import re

from tests.architecture.repository import ROOT, files

PAGE = ROOT / "docs" / "explanation" / "promises.md"


def test_every_proof_of_a_promise_exists() -> None:
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in files(".py") if path.name.startswith("test_")
    )
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    missing = sorted(name for name in named if f"def {name}(" not in tests)
    assert named
    assert not missing, f"promises.md names tests that are not there: {missing}"


def test_every_fault_that_is_injected_has_a_line_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    injected = {
        int(number)
        for path in (ROOT / "tests" / "faults").glob("test_f*.py")
        for number in re.findall(r"^test_f(\d+)_", path.name)
    }
    assert injected
    missing = sorted(number for number in injected if f"| F{number} |" not in text)
    assert not missing, f"say on promises.md what these faults are: {missing}"
