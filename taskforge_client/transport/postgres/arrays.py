"""PostgreSQL arrays in binary form, packed as wholes.

psycopg dumps a list element by element; for batches of hundreds that costs more than the
statement's own work on this side. These values are packed by one `struct` call each and passed
through untouched.

The layout is that of `array_send`: dimensions, null flag, element type, length, lower bound, then
each element behind its length (-1 for null).
"""

from collections.abc import Sequence
from struct import Struct, pack
from typing import Final

from psycopg import AsyncConnection, Connection
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEADER: Final = Struct(">iiiii")
_LENGTH: Final = Struct(">i")
_NULL: Final = _LENGTH.pack(-1)

_BOOLEAN, _BYTEA, _INT8, _INT2, _INT4, _TEXT, _FLOAT8, _JSONB = 16, 17, 20, 21, 23, 25, 701, 3802


class BinaryArray:
    """An array in its binary form; the subclass tells the element type."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class Int2Array(BinaryArray):
    """A `smallint[]`."""

    __slots__ = ()

    def __init__(self, values: Sequence[int]) -> None:
        super().__init__(_fixed(_INT2, "ih", 2, values))


class Int4Array(BinaryArray):
    """An `integer[]`."""

    __slots__ = ()

    def __init__(self, values: Sequence[int]) -> None:
        super().__init__(_fixed(_INT4, "ii", 4, values))


class Int8Array(BinaryArray):
    """A `bigint[]`."""

    __slots__ = ()

    def __init__(self, values: Sequence[int]) -> None:
        super().__init__(_fixed(_INT8, "iq", 8, values))


class Float8Array(BinaryArray):
    """A `double precision[]`."""

    __slots__ = ()

    def __init__(self, values: Sequence[float]) -> None:
        super().__init__(_fixed(_FLOAT8, "id", 8, values))


class ByteaArray(BinaryArray):
    """A `bytea[]`; None becomes null."""

    __slots__ = ()

    def __init__(self, values: Sequence[bytes | None]) -> None:
        super().__init__(_variable(_BYTEA, values))


class TextArray(BinaryArray):
    """A `text[]` of UTF-8 bytes; None becomes null."""

    __slots__ = ()

    def __init__(self, values: Sequence[bytes | None]) -> None:
        super().__init__(_variable(_TEXT, values))


class JsonbArray(BinaryArray):
    """A `jsonb[]` of JSON texts; None becomes null."""

    __slots__ = ()

    def __init__(self, values: Sequence[bytes | None]) -> None:
        # A jsonb value in binary form is a version byte and the text.
        super().__init__(
            _variable(_JSONB, [None if value is None else b"\x01" + value for value in values])
        )


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: BinaryArray) -> bytes:
        return obj.data


def _dumper(kind: type[BinaryArray], oid: int) -> type[_ArrayDumper]:
    return type(f"{kind.__name__}Dumper", (_ArrayDumper,), {"oid": oid})


_DUMPERS: Final = tuple(
    (kind, _dumper(kind, oid))
    for kind, oid in (
        (Int2Array, 1005),
        (Int4Array, 1007),
        (Int8Array, 1016),
        (Float8Array, 1022),
        (ByteaArray, 1001),
        (TextArray, 1009),
        (JsonbArray, 3807),
    )
)


def register_arrays(connection: Connection | AsyncConnection) -> None:
    """Let `connection` pass these arrays as parameters."""
    for kind, dumper in _DUMPERS:
        connection.adapters.register_dumper(kind, dumper)


def _fixed(element: int, layout: str, size: int, values: Sequence[int] | Sequence[float]) -> bytes:
    count = len(values)
    if count == 0:
        return _HEADER.pack(0, 0, element, 0, 1)[:12]
    items: list[float] = [size] * (2 * count)
    items[1::2] = values
    return _HEADER.pack(1, 0, element, count, 1) + pack(">" + layout * count, *items)


def _variable(element: int, values: Sequence[bytes | None]) -> bytes:
    count = len(values)
    if count == 0:
        return _HEADER.pack(0, 0, element, 0, 1)[:12]
    parts = [_HEADER.pack(1, 1 if None in values else 0, element, count, 1)]
    pack_length = _LENGTH.pack
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            parts.append(pack_length(len(value)))
            parts.append(value)
    return b"".join(parts)
