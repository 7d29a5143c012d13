"""Wire values to bytes and back, as JSON and as MessagePack, by msgspec.

Both ways in, what doesn't fit is a `MalformedValue` that names the field by its path, what is wrong
with it and what would be right. Requests are read strictly: a field the schema doesn't know is
refused, since it may have been meant. Answers are read leniently: an older client survives a newer
server.
"""

import types
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from attrs import fields_dict, has

from taskforge_client.wire.jobs import Encoding, JobSpec
from taskforge_client.wire.problems import MalformedValue

T = TypeVar("T")
MESSAGE_LIMIT_BYTES: Final = 16 * 1024 * 1024
_JSON: Final = msgspec.json.Encoder()
_MSGPACK: Final = msgspec.msgpack.Encoder()
_UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError, OverflowError)


def encode_json(value: object) -> bytes:
    """Return a wire value as JSON; bytes become base64, times ISO 8601."""
    return _JSON.encode(value)


def encode_msgpack(value: object) -> bytes:
    """Return a wire value as MessagePack."""
    return _MSGPACK.encode(value)


def decode_json(
    data: bytes, kind: type[T], *, refuse_unknown: bool = False, limit: int = MESSAGE_LIMIT_BYTES
) -> T:
    """Return the value of type `kind` that JSON holds; `refuse_unknown` for requests.

    Raises:
        MalformedValue: the bytes are too many or no JSON, or a field is missing, unknown or of
            another type.
    """
    decoder = _json_decoder(_key(kind))
    return _decode(
        data,
        kind,
        decoder.decode,
        msgspec.json.decode,
        form="JSON",
        refuse_unknown=refuse_unknown,
        limit=limit,
    )


def decode_msgpack(
    data: bytes, kind: type[T], *, refuse_unknown: bool = False, limit: int = MESSAGE_LIMIT_BYTES
) -> T:
    """Return the value of type `kind` that MessagePack holds; otherwise as `decode_json`."""
    decoder = _msgpack_decoder(_key(kind))
    plain = msgspec.msgpack.decode
    return _decode(
        data,
        kind,
        decoder.decode,
        plain,
        form="MessagePack",
        refuse_unknown=refuse_unknown,
        limit=limit,
    )


def payload_of(spec: JobSpec) -> tuple[bytes, Encoding]:
    """Return the encoded arguments of a job asked for, whichever way they were given.

    Raises:
        MalformedValue: both `args` and `payload` are given, or neither.
    """
    if (spec.args is None) == (spec.payload is None):
        stated = "neither is" if spec.args is None else "both are"
        raise MalformedValue("args", f"{stated} given", "exactly one of args and payload")
    if spec.payload is not None:
        return spec.payload, spec.encoding
    return _MSGPACK.encode(spec.args), Encoding.MSGPACK


def _decode(
    data: bytes,
    kind: type[T],
    typed: Callable[[bytes], Any],
    plain: Callable[[bytes], Any],
    *,
    form: str,
    refuse_unknown: bool,
    limit: int,
) -> T:
    _check_size(data, limit)
    value: Any = None
    wrong: MalformedValue | None = None
    try:
        value = typed(data)
    except msgspec.ValidationError as error:
        wrong = _explained(kind, str(error))
    except _UNREADABLE as error:
        raise MalformedValue("body", f"it can't be read: {error}", form) from None
    if refuse_unknown:
        # First: a mistyped name is missing under its right one, and what was typed says more.
        try:
            raw = plain(data)
        except _UNREADABLE as error:
            raise wrong or MalformedValue("body", f"it can't be read: {error}", form) from None
        _refuse_unknown(kind, raw, "")
    if wrong is not None:
        raise wrong
    result: T = value
    return result


@cache
def _json_decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


@cache
def _msgpack_decoder(kind: Hashable) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


def _key(kind: Any) -> Hashable:
    return kind  # type: ignore[no-any-return]  # every annotation is hashable


def _check_size(data: bytes, limit: int) -> None:
    if len(data) > limit:
        raise MalformedValue("body", f"it has {len(data):,} bytes", f"at most {limit:,}")


def _refuse_unknown(kind: Any, raw: Any, path: str) -> None:
    """Walk untyped data along its type, and refuse the first name that is no field."""
    shape = _shape(kind)
    if isinstance(shape, Mapping):
        if isinstance(raw, dict):
            for name, value in raw.items():
                inner = f"{path}.{name}" if path else str(name)
                if name not in shape:
                    raise _unknown_field(inner, str(name), shape)
                _refuse_unknown(shape[name], value, inner)
    elif isinstance(shape, _Items):
        for key, value in _entries(raw):
            _refuse_unknown(shape.kind, value, f"{path}[{key}]")


class _Items:
    """A list, a tuple or a mapping whose values are of one kind."""

    __slots__ = ("kind",)

    def __init__(self, kind: Any) -> None:
        self.kind = kind


@cache
def _shape(kind: Any) -> Mapping[str, Any] | _Items | None:
    """Return the fields of a class, the items of a collection, or None for what holds no fields."""
    if isinstance(kind, type) and has(kind):
        hints = get_type_hints(kind)
        return {name: hints[name] for name in fields_dict(kind)}
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        shapes = [_shape(argument) for argument in arguments]
        return next((shape for shape in shapes if shape is not None), None)
    if origin is dict:
        return _Items(arguments[1]) if _shape(arguments[1]) is not None else None
    if origin in {list, tuple}:
        return _Items(arguments[0]) if _shape(arguments[0]) is not None else None
    return None


def _entries(raw: Any) -> Iterator[tuple[object, Any]]:
    if isinstance(raw, dict):
        yield from raw.items()
    elif isinstance(raw, Sequence) and not isinstance(raw, str | bytes):
        yield from enumerate(raw)


def _unknown_field(path: str, name: str, shape: Mapping[str, Any]) -> MalformedValue:
    from difflib import get_close_matches

    near = get_close_matches(name, shape, n=1)
    right = f"{near[0]!r}" if near else f"one of {', '.join(shape)}"
    return MalformedValue(path, "there is no such field", right)


def _explained(kind: Any, message: str) -> MalformedValue:
    """Return msgspec's complaint in our words: it ends with a path such as `$.options.tags[0]`."""
    text, _, place = message.partition(" - at `")
    path = place.rstrip("`").removeprefix("key in ").removeprefix("$").lstrip(".") or "body"
    missing = text.removeprefix("Object missing required field `")
    if missing != text:
        name = missing.rstrip("`")
        return MalformedValue(
            name if path == "body" else f"{path}.{name}", "it is missing", "a value for it"
        )
    expected, _, got = text.partition(", got ")
    if got:
        return MalformedValue(path, f"it is {got}", expected.removeprefix("Expected "))
    words = _words_at(kind, path)
    if words:
        return MalformedValue(path, text[0].lower() + text[1:], f"one of {', '.join(words)}")
    return MalformedValue(path, text[0].lower() + text[1:], "a value the schema allows")


def _words_at(kind: Any, path: str) -> list[str]:
    """Return the words of the enumeration at a path, none where there is something else."""
    for step in path.replace("[...]", ".[]").replace("[", ".[").split("."):
        shape = _shape(kind)
        if isinstance(shape, _Items):
            kind = shape.kind
        elif shape is not None and step in shape:
            kind = shape[step]
    for candidate in (kind, *get_args(kind)):
        if isinstance(candidate, type) and issubclass(candidate, Enum):
            return [str(member.value) for member in candidate]
    return []
