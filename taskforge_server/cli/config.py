"""`taskforge config show`: the settings, their sources, and where commands go."""

from urllib.parse import urlsplit, urlunsplit

import click

from taskforge_client.errors import Unreachable
from taskforge_server.cli.groups import HelpfulGroup
from taskforge_server.cli.output import json_option, note, print_json, print_table
from taskforge_server.cli.settings import read_settings
from taskforge_server.cli.target import Target, TargetOptions, choose_target, target_options


@click.group(cls=HelpfulGroup)
def config() -> None:
    """Show the settings and where each comes from."""


@config.command()
@json_option
@target_options
def show(*, as_json: bool, target: TargetOptions) -> None:
    """Show every setting with its source, and where commands go from here."""
    settings = read_settings()
    chosen: Target | None
    try:
        chosen = choose_target(target, settings)
        nowhere = ""
    except Unreachable as error:
        chosen, nowhere = None, str(error)
    shown = [(one.name, one.value, one.source) for one in settings.shown]
    if as_json:
        print_json(
            {
                "settings": [
                    {"name": name, "value": value, "source": source}
                    for name, value, source in shown
                ],
                "target": None
                if chosen is None
                else {
                    "kind": chosen.kind.value,
                    "address": without_password(chosen.address),
                    "source": chosen.source,
                },
            }
        )
        return
    print_table(("setting", "value", "source"), shown, empty="")
    if chosen is None:
        note(f"\nCommands go nowhere: {nowhere}")
    else:
        click.echo(
            f"\nCommands go to the {chosen.kind.value} {without_password(chosen.address)} "
            f"(by {chosen.source})"
        )


def without_password(text: str) -> str:
    """Return a URL with its password left out, any other text as it is."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    if parts.password is None:
        return text
    place = parts.netloc.replace(f":{parts.password}@", ":***@")
    return urlunsplit(parts._replace(netloc=place))
