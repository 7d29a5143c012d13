"""The root command, and the one place where errors become exit codes.

0 done, 1 failed, 2 usage, 3 unreachable, 4 not found; 130 interrupted.
"""

import sys
from collections.abc import Sequence
from typing import Final

import click

from taskforge_server._version import __version__
from taskforge_server.cli.groups import Entry, LazyGroup

_HOME: Final = "taskforge_server.cli"
ENTRIES: Final = {
    "dev": Entry(f"{_HOME}.dev:dev", "Run everything here, on an embedded PostgreSQL."),
    "server": Entry(f"{_HOME}.serve:server", "Run a server node: engine and HTTP."),
    "worker": Entry(f"{_HOME}.worker:worker", "Run worker processes for an app."),
    "migrate": Entry(f"{_HOME}.migrate:migrate", "Bring the database's schema up to date."),
    "enqueue": Entry(f"{_HOME}.enqueue:enqueue", "Send one job."),
    "jobs": Entry(f"{_HOME}.jobs:jobs", "List, show, wait for, cancel and retry jobs."),
    "dead": Entry(f"{_HOME}.dead:dead", "Look into, retry and purge dead letters."),
    "queues": Entry(f"{_HOME}.queues:queues", "List, pause and resume queues."),
    "schedules": Entry(f"{_HOME}.schedules:schedules", "List, show and trigger schedules."),
    "workers": Entry(f"{_HOME}.workers:workers", "List and drain workers."),
    "doctor": Entry(f"{_HOME}.doctor:doctor", "Say what is wrong and what to do."),
    "config": Entry(f"{_HOME}.config:config", "Show the settings and where each comes from."),
    "admin": Entry(f"{_HOME}.admin:admin", "Manage API keys."),
    "completion": Entry(f"{_HOME}.completion:completion", "Print a shell's completion script."),
}

INTERRUPTED: Final = 130


@click.group(
    cls=LazyGroup,
    entries=ENTRIES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 unreachable, 4 not found.",
)
@click.version_option(__version__, prog_name="taskforge")
def cli() -> None:
    """TaskForge: background jobs on PostgreSQL.

    Start with `taskforge dev module:app`: it needs no database, no container and no configuration.
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line and return its exit code; messages go to standard error."""
    try:
        code = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="taskforge",
            standalone_mode=False,
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`).
        sys.stderr.close()
        return 0
    except Exception as error:
        from taskforge_server.cli.failures import describe_failure

        failure = describe_failure(error)
        if failure is None:
            raise
        click.echo(failure.text, err=True)
        return failure.exit_code
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run())
