"""Every check and every chore of the repository, one session each.

A session makes its own environment from the hashed lock of its kind in .ci/locks, then installs
the two packages from this folder without their dependencies. `nox -l` lists the sessions;
CONTRIBUTING.md says when each is of use.
"""

import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
LOCKS = ROOT / ".ci" / "locks"
PACKAGES = ("taskforge_client", "taskforge_server")
CHECKED = (*PACKAGES, "tests", "examples", "benchmarks", "noxfile.py")
TEST_PROCESSES = "2"

os.environ.setdefault("UV_PYTHON_DOWNLOADS", "never")
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")
nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "imports", "unit", "properties"]


def install(session: nox.Session, lock: str) -> None:
    """Install exactly what the lock of this name lists, every file checked against its hash."""
    session.install("--require-hashes", "-r", str(LOCKS / f"{lock}.txt"))


def install_packages(session: nox.Session, lock: str) -> None:
    """Install a lock and both packages, the latter linked to this folder."""
    install(session, lock)
    linked = [argument for package in PACKAGES for argument in ("-e", f"./{package}")]
    session.install("--no-deps", "--no-build-isolation", *linked)


def present(*names: str) -> list[str]:
    """Return those of the files and folders that exist."""
    return [name for name in names if (ROOT / name).exists()]


def run_tests(session: nox.Session, *folders: str) -> None:
    """Run pytest over the folders, or over what the caller named after `--`."""
    session.run("pytest", *(session.posargs or present(*folders)))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff; `-- --fix` mends what it can."""
    install(session, "lint")
    session.run("ruff", "check", *session.posargs, ".")
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]), ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check all types with mypy, and the public face with pyright as well."""
    install_packages(session, "types")
    session.run("mypy", *(session.posargs or present(*CHECKED)))
    if present("tests/typing"):
        session.run("pyright", "--project", "pyproject.toml", "tests/typing")


@nox.session
def imports(session: nox.Session) -> None:
    """Hold the import contracts: which room may know which."""
    install(session, "lint")
    session.run("lint-imports", *session.posargs, env={"PYTHONPATH": str(ROOT)})


@nox.session
def unit(session: nox.Session) -> None:
    """Run the tests that need neither a database nor a socket."""
    install_packages(session, "test")
    run_tests(session, "tests/unit", "tests/architecture")


@nox.session
def properties(session: nox.Session) -> None:
    """Run the property tests over pure code."""
    install_packages(session, "test")
    run_tests(session, "tests/properties")


@nox.session
def storage(session: nox.Session) -> None:
    """Run the storage tests against a real PostgreSQL."""
    install_packages(session, "test")
    run_tests(session, "tests/storage")


@nox.session
def system(session: nox.Session) -> None:
    """Run the tests of whole parts: transports, engine, model, faults and real processes."""
    install_packages(session, "test")
    folders = ("contract", "engine", "model", "faults", "e2e")
    run_tests(session, *(f"tests/{folder}" for folder in folders))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the whole test suite in one go."""
    install_packages(session, "test")
    session.run("pytest", "-n", TEST_PROCESSES, "--dist", "loadscope", *session.posargs)


@nox.session
def cover(session: nox.Session) -> None:
    """Run the whole suite under coverage and hold the floors."""
    install_packages(session, "test")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "html", "--skip-covered", "--quiet")
    pure = "*/taskforge_client/wire/*,*/taskforge_server/domain/*"
    session.run("coverage", "report", f"--include={pure}", "--fail-under=100")
    session.run("coverage", "report", "--fail-under=95")


@nox.session
def wheel(session: nox.Session) -> None:
    """Build both wheels, install them into clean environments and run the unit tests there."""
    install(session, "build")
    scratch = Path(session.create_tmp()).resolve() / "wheel"
    shutil.rmtree(scratch, ignore_errors=True)
    dist = scratch / "dist"
    for package in PACKAGES:
        session.run("python", "-m", "build", "--no-isolation", "--outdir", str(dist), package)
        check_wheel_content(session, package, next(dist.glob(f"{package}-*.whl")))
    client, server = (str(next(dist.glob(f"{package}-*.whl"))) for package in PACKAGES)

    # The client alone must import with nothing but the dependencies that it declares.
    python = make_environment(session, scratch / "client", "client", client)
    session.run(python, str(ROOT / "benchmarks" / "footprint.py"), external=True)

    # The tests run from a copy, so that only the installed packages can be imported.
    python = make_environment(session, scratch / "both", "test", client, server)
    tree = scratch / "tree"
    tree.mkdir()
    shutil.copy(ROOT / "pyproject.toml", tree)
    left_out = shutil.ignore_patterns("__pycache__", "node_modules")
    for folder in ("tests", "benchmarks"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=left_out)
    with session.chdir(tree):
        session.run(python, "-m", "pytest", *(session.posargs or ["tests/unit"]), external=True)


def make_environment(session: nox.Session, folder: Path, lock: str, *wheels: str) -> str:
    """Make an environment of one lock and these wheels, nothing else; return its python."""
    session.run("python", "-m", "venv", str(folder))
    python = str(folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))
    pip = (python, "-m", "pip", "--quiet")
    requirements = str(LOCKS / f"{lock}.txt")
    session.run(*pip, "install", "--require-hashes", "-r", requirements, external=True)
    session.run(*pip, "install", "--no-deps", "--no-index", *wheels, external=True)
    session.run(*pip, "check", external=True)
    return python


def check_wheel_content(session: nox.Session, package: str, path: Path) -> None:
    """Compare a wheel's files with those of its folder, in both directions."""
    left_out = {"pyproject.toml", "README.md", "LICENSE"}
    expected = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and file.name not in left_out
    }
    with zipfile.ZipFile(path) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    if found != expected:
        session.error(
            f"{path.name}: missing {sorted(expected - found)}, uncalled for "
            f"{sorted(found - expected)}; mend tool.hatch.build in {package}/pyproject.toml"
        )


@nox.session
def minimums(session: nox.Session) -> None:
    """Run the unit and property tests with the lowest direct dependencies that are allowed."""
    install_packages(session, "minimums")
    run_tests(session, "tests/unit", "tests/properties")


@nox.session
def quickstart(session: nox.Session) -> None:
    """Run the example pipeline on an embedded PostgreSQL, from nothing to its results."""
    install_packages(session, "run")
    session.run("python", "-m", "examples.quickstart", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation with both builders, strictly."""
    install_packages(session, "docs")
    scratch = Path(session.create_tmp()).resolve() / "site"
    session.run(
        *("mkdocs", "build", "--strict", "--site-dir", str(scratch)),
        env={"NO_MKDOCS_2_WARNING": "1"},
    )
    session.run("zensical", "build", "--strict", "--clean")


@nox.session
def bench(session: nox.Session) -> None:
    """Run a benchmark: `nox -s bench -- lifecycle --jobs 200000`, or `-- --list`."""
    install_packages(session, "bench")
    session.run("python", "-m", "benchmarks", *(session.posargs or ["--list"]))


@nox.session
def release(session: nox.Session) -> None:
    """Write a new version into both packages and the pin between them: `-- 0.2.0`."""
    install(session, "build")
    if len(session.posargs) != 1 or not re.fullmatch(r"\d+\.\d+\.\d+", session.posargs[0]):
        session.error("name the new version, as in: nox -s release -- 0.2.0")
    version = session.posargs[0]
    for package in PACKAGES:
        replace_once(ROOT / package / "_version.py", r'(?<=__version__ = ")[^"]+', version)
    pin = r"(?<=taskforge-client\[postgres\]==)[^\"]+"
    replace_once(ROOT / "taskforge_server" / "pyproject.toml", pin, version)
    session.run("towncrier", "build", "--yes", "--version", version)


def replace_once(path: Path, pattern: str, text: str) -> None:
    """Replace the one match of a pattern in a file; more or fewer than one is an error."""
    changed, count = re.subn(pattern, text, path.read_text(encoding="utf-8"))
    if count != 1:
        message = f"{path.name}: expected one match of {pattern!r}, found {count}"
        raise ValueError(message)
    path.write_text(changed, encoding="utf-8")


@nox.session
def lock(session: nox.Session) -> None:
    """Write .ci/locks anew from the declared dependencies; `-- --upgrade` takes newer ones."""
    session.install("uv")
    LOCKS.mkdir(parents=True, exist_ok=True)
    run = [*[f"{package}/pyproject.toml" for package in PACKAGES], "--all-extras"]
    groups = {
        "client": [f"{PACKAGES[0]}/pyproject.toml"],
        "run": [*run, "--group", "backend"],
        "test": [*run, "--group", "backend", "--group", "test"],
        "types": [*run, "--group", "backend", "--group", "types"],
        "docs": [*run, "--group", "backend", "--group", "docs"],
        "bench": [*run, "--group", "backend", "--group", "bench"],
        "lint": ["--group", "lint"],
        "build": ["--group", "build"],
    }
    everything = [*run]
    for name in ("backend", "test", "types", "lint", "docs", "bench", "build"):
        everything += ["--group", name]
    constraints = LOCKS / "constraints.txt"
    compile_lock(session, constraints, *everything, *session.posargs, hashes=False)
    for name, sources in groups.items():
        compile_lock(session, LOCKS / f"{name}.txt", *sources, "-c", str(constraints))

    lowest = Path(session.create_tmp()).resolve() / "lowest.txt"
    lowest.unlink(missing_ok=True)
    compile_lock(session, lowest, *run, "--resolution", "lowest-direct", hashes=False)
    minimums_lock = LOCKS / "minimums.txt"
    compile_lock(session, minimums_lock, *groups["test"], "-c", str(lowest))


def compile_lock(session: nox.Session, path: Path, *arguments: str, hashes: bool = True) -> None:
    """Resolve for every platform and supported Python into one requirements file."""
    session.run(
        *("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
        *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
        *(option for package in PACKAGES for option in ("--no-emit-package", package)),
        *(["--generate-hashes"] if hashes else []),
        *("--output-file", str(path), *arguments),
    )
