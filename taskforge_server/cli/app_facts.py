"""What an app declares: its tasks, their queues and schedules, read in a process of its own.

So nothing of a user's code runs inside the commands, and a broken module breaks nothing else.
`python -m taskforge_server.cli.app_facts APP` prints it as JSON.
"""

import difflib
import os
import pkgutil
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import frozen

from taskforge_client.errors import NotConfigured, TaskForgeError
from taskforge_client.wire.codec import decode_json, encode_json
from taskforge_client.wire.jobs import DEFAULT_QUEUE
from taskforge_client.wire.schedules import ScheduleSpec

_USAGE: Final = 2
_PATIENCE_SECONDS: Final = 60


@frozen(kw_only=True)
class AppFacts:
    """What an app declares; `queues` are those its tasks name, and the default one."""

    tasks: tuple[str, ...]
    queues: tuple[str, ...]
    schedules: tuple[ScheduleSpec, ...]


def read_app(path: str, environment: Mapping[str, str] | None = None) -> AppFacts:
    """Return what the app at ``module:name`` declares.

    Raises:
        NotConfigured: there is no such module or app, or it can't be imported; the message says
            what was found instead, or where the import failed.
    """
    try:
        finished = subprocess.run(  # noqa: S603  # our own module, and the path is only imported
            [sys.executable, "-m", "taskforge_server.cli.app_facts", path],
            env=None if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotConfigured(
            f"APP {path!r} takes more than {_PATIENCE_SECONDS} s to import"
        ) from None
    if finished.returncode != 0:
        raise NotConfigured(finished.stderr.decode(errors="replace").strip())
    return decode_json(finished.stdout, AppFacts)


def describe_app(path: str) -> AppFacts:
    """Import the app in this process and return what it declares; raises `NotConfigured`."""
    from taskforge_client.app import TaskForge
    from taskforge_client.worker.locate import load_app

    folder = Path.cwd()
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        app = load_app(path)
    except NotConfigured as error:
        raise NotConfigured(f"{error}{_found_instead(path, folder)}") from None
    if not isinstance(app, TaskForge):
        raise NotConfigured(f"APP {path!r} is a {type(app).__name__}; a TaskForge is needed")
    tasks = list(app.tasks)
    return AppFacts(
        tasks=tuple(sorted(task.name for task in tasks)),
        queues=tuple(sorted({DEFAULT_QUEUE, *(task.options.queue for task in tasks)})),
        schedules=app.scheduled(),
    )


def _found_instead(path: str, folder: Path) -> str:
    """Return which modules of the folder look like the one that is missing."""
    module = path.partition(":")[0].partition(".")[0]
    here = sorted(entry.name for entry in pkgutil.iter_modules([str(folder)]))
    if module in here or not module:
        return ""
    near = difflib.get_close_matches(module, here, n=3) or here[:8]
    return f"; in {folder} there are the modules {', '.join(near)}" if near else ""


def main() -> int:
    """Print the facts of the app in the first argument; 2 when there are none to print."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the user's modules print on import must not get into the answer
    try:
        facts = describe_app(sys.argv[1])
    except TaskForgeError as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE
    except (Exception, SystemExit):  # noqa: BLE001  # whatever a user's module raises
        sys.stderr.write(f"APP {sys.argv[1]!r} can't be imported:\n{traceback.format_exc()}")
        return _USAGE
    with answer:
        answer.write(encode_json(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
