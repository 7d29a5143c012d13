"""`taskforge doctor`: looks at everything from here to the database, and says what to do."""

import sys

import click

from taskforge_client._version import __version__ as client_version
from taskforge_client.errors import TaskForgeError
from taskforge_server._version import __version__
from taskforge_server.cli.config import without_password
from taskforge_server.cli.desk import with_caller
from taskforge_server.cli.failures import FAILED
from taskforge_server.cli.output import console, json_option, print_json
from taskforge_server.cli.settings import read_settings
from taskforge_server.cli.target import (
    TargetKind,
    TargetOptions,
    choose_target,
    database_of,
    target_options,
)
from taskforge_server.domain.clock import SystemClock
from taskforge_server.operations import doctor as operations
from taskforge_server.operations.doctor import Finding, Grade
from taskforge_server.storage.errors import SchemaError, StorageError
from taskforge_server.storage.migrate import check_schema

_MARKS = {
    Grade.OK: "[green]ok[/]     ",
    Grade.WARNING: "[yellow]warning[/]",
    Grade.WRONG: "[red]wrong[/]  ",
}


@click.command()
@json_option
@target_options
@click.pass_context
def doctor(context: click.Context, *, as_json: bool, target: TargetOptions) -> None:
    """Say what is wrong and what to do; exits 1 when something is."""
    findings = [_versions(), *_examine(target)]
    if as_json:
        print_json({"findings": findings})
    else:
        screen = console()
        for one in findings:
            screen.print(f"{_MARKS[one.grade]} ", end="")
            screen.print(f"{one.check}: {one.found}", markup=False, soft_wrap=True)
            if one.advice:
                screen.print(f"        → {one.advice}", markup=False, soft_wrap=True)
    if any(one.grade is Grade.WRONG for one in findings):
        context.exit(FAILED)


def _versions() -> Finding:
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    same = client_version == __version__
    return Finding(
        check="versions",
        grade=Grade.OK if same else Grade.WRONG,
        found=f"server {__version__}, client {client_version}, {python}",
        advice="" if same else f"pip install taskforge-server=={__version__}",
    )


def _examine(options: TargetOptions) -> list[Finding]:
    try:
        target = choose_target(options, read_settings())
    except TaskForgeError as error:
        return [Finding(check="target", grade=Grade.WRONG, found=str(error))]
    where = f"{target.kind.value} {without_password(target.address)} (by {target.source})"
    findings = [Finding(check="target", grade=Grade.OK, found=where)]
    if target.kind is TargetKind.HTTP:
        return [*findings, _server_over_http(target.address)]
    here = SystemClock()
    try:
        findings += with_caller(
            options, lambda caller: operations.examine_database(caller, here.now())
        )
        with database_of(target) as url:
            check_schema(url)
        findings.append(Finding(check="schema", grade=Grade.OK, found="this version's"))
        findings += with_caller(options, operations.examine_work)
    except SchemaError as error:
        findings.append(
            Finding(check="schema", grade=Grade.WRONG, found=str(error), advice="taskforge migrate")
        )
    except (TaskForgeError, StorageError) as error:
        findings.append(
            Finding(
                check="database",
                grade=Grade.WRONG,
                found=str(error),
                advice="see that PostgreSQL runs, and that host, port, user and password are right",
            )
        )
    return findings


def _server_over_http(url: str) -> Finding:
    import httpx

    try:
        answer = httpx.get(f"{url.rstrip('/')}/readyz", timeout=5.0)
    except httpx.HTTPError as error:
        return Finding(
            check="server",
            grade=Grade.WRONG,
            found=f"{url} can't be reached: {error}",
            advice="start `taskforge server` there, or mend TASKFORGE_URL",
        )
    return Finding(
        check="server",
        grade=Grade.OK if answer.is_success else Grade.WRONG,
        found=answer.text,
        advice="" if answer.is_success else "run `taskforge doctor` on the server's machine",
    )
