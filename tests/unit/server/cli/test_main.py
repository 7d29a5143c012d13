import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from taskforge_server.cli.groups import nearest
from taskforge_server.cli.main import ENTRIES, cli, run

pytestmark = pytest.mark.unit


def commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, (*path, name))


ALL = dict(commands(cli))


def test_every_command_and_option_says_what_it_is_for() -> None:
    silent = [name for name, command in ALL.items() if not command.help]
    assert not silent
    obvious = {"queue", "task", "tag", "state", "app", "limit", "processes"}
    unexplained = [
        f"{name} {option.opts[0]}"
        for name, command in ALL.items()
        for option in command.params
        if isinstance(option, click.Option) and not option.help and option.name not in obvious
    ]
    assert not unexplained


def test_every_list_and_show_can_print_json() -> None:
    shown = [name for name in ALL if name.split()[-1:] in (["list"], ["show"], ["groups"])]
    assert len(shown) >= 9
    for name in shown:
        assert any(option.name == "as_json" for option in ALL[name].params), name


def test_the_overview_needs_no_import_of_the_commands() -> None:
    script = (
        "import sys; from taskforge_server.cli.main import run; code = run(['--help']);"
        "heavy = {'psycopg', 'rich', 'starlette', 'uvicorn', 'httpx'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert all(entry.summary in finished.stdout for entry in ENTRIES.values())


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["jbos"], "did you mean 'jobs'"),
        (["jobs", "cancle"], "did you mean 'cancel'"),
        (["xyzzy"], "there are dev, server"),
        (["jobs", "list", "--stat", "ready"], "--stat"),
        (["admin", "kye"], "did you mean 'key'"),
        (["completion", "tcsh"], "tcsh"),
        (["dead", "retry"], "--all"),
        (["dead", "retry", "a", "b", "--args", "{}"], "expected one JOB"),
        (["jobs", "retry", "a", "b", "--args", "{}"], "expected one JOB"),
        (["workers", "drain"], "--all"),
        (["migrate", "--plan", "--check"], "exclude each other"),
    ],
)
def test_a_wrong_word_is_a_usage_error_that_helps(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(arguments) == 2
    assert said in capsys.readouterr().err


def test_the_nearest_words_come_first() -> None:
    assert nearest("mial", ["mail", "email", "default"])[0] == "mail"
    assert nearest("q", ["mail"]) == []
