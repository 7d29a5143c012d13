"""The wire does not change under a protocol number.

The files in ``golden/<number>/`` hold every message as JSON and as MessagePack. Those of the
current number must come out byte for byte; those of every number still understood must be read.
After a wanted change run this file as a program to write the files of a new number.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import attrs
import msgspec
import pytest

from taskforge_client import wire
from taskforge_client.wire.codec import (
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
)
from taskforge_client.wire.version import OLDEST_UNDERSTOOD, PROTOCOL
from tests.contract.messages import MESSAGES

GOLDEN = Path(__file__).parent / "golden"
UNDERSTOOD = range(OLDEST_UNDERSTOOD, PROTOCOL + 1)
pytestmark = pytest.mark.contract


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_the_bytes_of_a_message_stay_the_same(name: str) -> None:
    folder = GOLDEN / str(PROTOCOL)
    assert _pretty(MESSAGES[name]) == (folder / f"{name}.json").read_bytes()
    assert encode_msgpack(MESSAGES[name]) == (folder / f"{name}.msgpack").read_bytes()


@pytest.mark.parametrize("number", UNDERSTOOD)
@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_messages_of_understood_protocols_are_read(number: int, name: str) -> None:
    folder = GOLDEN / str(number)
    if not (folder / f"{name}.json").exists():
        assert number < PROTOCOL, f"{name} has no golden file"
        return
    kind = type(MESSAGES[name])
    from_json = decode_json((folder / f"{name}.json").read_bytes(), kind, refuse_unknown=True)
    from_msgpack = decode_msgpack(
        (folder / f"{name}.msgpack").read_bytes(), kind, refuse_unknown=True
    )
    assert attrs.asdict(from_json) == attrs.asdict(from_msgpack)  # type: ignore[arg-type]
    if number == PROTOCOL:
        assert attrs.asdict(from_json) == attrs.asdict(MESSAGES[name])  # type: ignore[arg-type]


def test_every_message_has_an_example() -> None:
    classes: set[type] = set()
    for module in pkgutil.iter_modules(wire.__path__):
        members = vars(importlib.import_module(f"{wire.__name__}.{module.name}"))
        classes.update(
            member
            for member in members.values()
            if isinstance(member, type)
            and attrs.has(member)
            and member.__module__.startswith(wire.__name__)
        )
    assert classes == {type(message) for message in MESSAGES.values()}


def test_no_golden_file_is_left_over() -> None:
    names = {path.stem for path in (GOLDEN / str(PROTOCOL)).iterdir()}
    assert names == set(MESSAGES)


def _pretty(message: object) -> bytes:
    return msgspec.json.format(encode_json(message), indent=2) + b"\n"


def write() -> None:
    """Write the files of the current protocol number."""
    folder = GOLDEN / str(PROTOCOL)
    folder.mkdir(parents=True, exist_ok=True)
    for name, message in MESSAGES.items():
        (folder / f"{name}.json").write_bytes(_pretty(message))
        (folder / f"{name}.msgpack").write_bytes(encode_msgpack(message))


if __name__ == "__main__":
    write()
