"""`taskforge migrate`: the database's schema, brought up to date, planned or checked."""

import click

from taskforge_server.cli.failures import FAILED
from taskforge_server.cli.output import json_option, print_json
from taskforge_server.cli.target import (
    TargetKind,
    TargetOptions,
    choose_target,
    database_of,
    target_options,
)


@click.command()
@click.option("--plan", is_flag=True, help="Say what would be applied, and change nothing.")
@click.option("--check", is_flag=True, help="Exit 1 unless the schema is this version's.")
@json_option
@target_options
@click.pass_context
def migrate(
    context: click.Context, *, plan: bool, check: bool, as_json: bool, target: TargetOptions
) -> None:
    """Bring the database's schema up to date.

    Safe to run again, and by several at once: each migration is applied once, in order.
    """
    if plan and check:
        raise click.UsageError("--plan and --check exclude each other")
    chosen = choose_target(target)
    if chosen.kind is TargetKind.HTTP:
        raise click.UsageError(
            f"migrations need the database, and {chosen.source} names a server; give --database-url"
        )
    from taskforge_server.storage import migrate as migrations

    with database_of(chosen, create=True) as url:
        if plan or check:
            names = [migration.name for migration in migrations.pending(url)]
        else:
            names = list(migrations.migrate(url).applied)
    applied = not (plan or check)
    if as_json:
        print_json({"applied" if applied else "pending": names})
    elif applied:
        click.echo("\n".join([f"applied {name}" for name in names] or ["the schema is up to date"]))
    else:
        click.echo("\n".join([f"pending {name}" for name in names] or ["nothing is pending"]))
    if check and names:
        context.exit(FAILED)
