"""`taskforge admin key`: API keys for HTTP."""

import click

from taskforge_server.cli.desk import with_caller
from taskforge_server.cli.groups import HelpfulGroup
from taskforge_server.cli.output import json_option, note, print_json, print_table
from taskforge_server.cli.target import TargetOptions, target_options
from taskforge_server.cli.values import duration
from taskforge_server.operations import keys


@click.group(cls=HelpfulGroup)
def admin() -> None:
    """Manage API keys."""


@admin.group(cls=HelpfulGroup)
def key() -> None:
    """Create, list and revoke API keys."""


@key.command()
@click.argument("name")
@click.option("--expires", type=duration, help="Let it end after this long (90d).")
@json_option
@target_options
def create(*, name: str, expires: float | None, as_json: bool, target: TargetOptions) -> None:
    """Make an API key and print it, this once."""
    made = with_caller(target, lambda caller: keys.create(caller, name, lifetime_seconds=expires))
    if as_json:
        print_json(made)
        return
    click.echo(made.secret)
    note(f"{made.key.id} ({name}); it is shown only now: set TASKFORGE_API_KEY to it")


@key.command("list")
@json_option
@target_options
def list_keys(*, as_json: bool, target: TargetOptions) -> None:
    """List API keys, without their secrets."""
    found = with_caller(target, keys.list_keys)
    if as_json:
        print_json({"keys": found})
        return
    headings = ("key", "name", "created", "last used", "expires", "revoked")
    rows = [
        (one.id, one.name, one.created_at, one.last_used_at, one.expires_at, one.revoked_at)
        for one in found
    ]
    print_table(headings, rows, empty="no API keys")


@key.command()
@click.argument("key_id", metavar="KEY")
@target_options
def revoke(*, key_id: str, target: TargetOptions) -> None:
    """End an API key for good."""
    with_caller(target, lambda caller: keys.revoke(caller, key_id))
    click.echo(f"{key_id} is revoked; servers forget it within seconds")
