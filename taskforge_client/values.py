"""How argument and result values become bytes.

MessagePack by msgspec, plus the few types msgspec leaves to us.
"""

from pathlib import PurePath
from typing import Any, Final

import msgspec


def encode_unknown(value: object) -> object:
    """Return a plain stand-in for a value msgspec does not know.

    Raises `TypeError` for any other.
    """
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, complex):
        return [value.real, value.imag]
    raise TypeError(
        f"a value of type {type(value).__qualname__} can't be sent; send plain "
        "values, dataclasses, attrs classes, enums, datetimes, Decimal, UUID or Path"
    )


def decode_unknown(kind: type[Any], value: Any) -> Any:
    """Return the value of type `kind` behind the stand-in of `encode_unknown`."""
    if issubclass(kind, PurePath):
        return kind(value)
    if kind is complex:
        real, imaginary = value
        return complex(real, imaginary)
    raise TypeError(f"a value of type {kind.__qualname__} can't be received")


ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=encode_unknown)
DECODER: Final = msgspec.msgpack.Decoder()
JSON_DECODER: Final = msgspec.json.Decoder()


def typed_decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    """Return a decoder of MessagePack that checks values against the annotation `kind`."""
    return msgspec.msgpack.Decoder(kind, dec_hook=decode_unknown)


def typed_json_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Return a decoder of JSON that checks values against the annotation `kind`."""
    return msgspec.json.Decoder(kind, dec_hook=decode_unknown)
