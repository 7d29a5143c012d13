from __future__ import annotations

import enum
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeVar

import attrs
import msgspec
import pytest

from taskforge_client.arguments import ArgumentCodec
from taskforge_client.errors import InvalidRequest, NotConfigured
from taskforge_client.open_arguments import OpenArguments
from taskforge_client.wire.jobs import Encoding

pytestmark = pytest.mark.unit
T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int = 0


@attrs.frozen
class Order:
    number: int
    lines: tuple[Point, ...]


def plain(order_id: int, *, language: str = "en", gift: bool = False) -> str:
    return f"{order_id} {language} {gift}"


def every_kind(
    first: int, /, second: str = "b", *rest: float, named: bool = True, **others: int
) -> Any:
    return first, second, rest, named, others


def no_arguments() -> None:
    pass


def there_and_back(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    codec = ArgumentCodec(function, "m:f")
    payload = codec.encode(args, kwargs)
    return codec.adapt()(**codec.decode(payload, Encoding.MSGPACK))


def test_a_call_is_a_map_without_what_is_left_to_defaults() -> None:
    codec = ArgumentCodec(plain, "m:plain")
    assert msgspec.msgpack.decode(codec.encode((42,), {})) == {"order_id": 42}
    assert there_and_back(plain, 42, language="de") == "42 de False"


def test_one_call_has_one_encoding() -> None:
    codec = ArgumentCodec(plain, "m:plain")
    encodings = {
        codec.encode((1,), {"language": "de", "gift": True}),
        codec.encode((), {"gift": True, "order_id": 1, "language": "de"}),
        codec.encode((), {"language": "de", "gift": True, "order_id": 1}),
    }
    assert len(encodings) == 1


@pytest.mark.parametrize(
    "args, kwargs, expected",
    [
        ((1,), {}, (1, "b", (), True, {})),
        ((1, "x", 2.0, 3.5), {}, (1, "x", (2.0, 3.5), True, {})),
        ((1,), {"named": False, "z": 3}, (1, "b", (), False, {"z": 3})),
        ((1,), {"second": "y", "first": 9}, (1, "y", (), True, {"first": 9})),
    ],
)
def test_every_kind_of_parameter_arrives(
    args: tuple[Any, ...], kwargs: dict[str, Any], expected: object
) -> None:
    assert there_and_back(every_kind, *args, **kwargs) == expected


def test_more_than_fifteen_arguments_arrive() -> None:
    names = [f"p{number}" for number in range(20)]
    space: dict[str, Any] = {}
    exec(f"def many({', '.join(names)}): return [{', '.join(names)}]", space)  # noqa: S102
    assert there_and_back(space["many"], *range(20)) == list(range(20))
    codec = ArgumentCodec(space["many"], "m:many")
    with pytest.raises(InvalidRequest, match="extra"):
        codec.decode(msgspec.msgpack.encode(dict.fromkeys([*names, "extra"], 1)), Encoding.MSGPACK)


def test_values_come_back_as_annotated() -> None:
    def take(  # noqa: PLR0917
        when: datetime,
        day: date,
        wait: timedelta,
        money: Decimal,
        who: uuid.UUID,
        where: Path,
        colour: Colour,
        order: Order,
        names: set[str],
        raw: bytes,
        choice: Literal["a", "b"],
        maybe: int | None,
        anything: Any,
        number: complex,
    ) -> tuple[Any, ...]:
        return (
            when, day, wait, money, who, where, colour, order, names, raw, choice, maybe,
            anything, number,
        )  # fmt: skip

    values = (
        datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        date(2026, 1, 2),
        timedelta(seconds=1.5),
        Decimal("1.10"),
        uuid.UUID(int=5),
        Path("/tmp/x"),  # noqa: S108  only a name
        Colour.RED,
        Order(1, (Point(1), Point(2, 3))),
        {"a", "b"},
        b"\x00\xff",
        "a",
        None,
        {"x": [1, 2.5, None, "y"]},
        1 + 2j,
    )
    assert there_and_back(take, *values) == values


@pytest.mark.parametrize(
    "args, kwargs, field, words",
    [
        ((), {}, "arguments", "missing a required argument: 'order_id'"),
        ((1, 2), {}, "arguments", "too many positional"),
        ((1,), {"order_id": 2}, "arguments", "multiple values"),
        ((1,), {"langage": "de"}, "langage", "unexpected keyword argument 'langage'"),
        ((), {"langage": "de"}, "langage", "missing a required argument"),
        ((1,), {"langage": "de", "gift": True}, "langage", "unexpected keyword"),
        (("1",), {}, "order_id", "Expected `int`, got `str`"),
        ((1,), {"language": None}, "language", "Expected `str`, got `None`"),
        ((1,), {"language": object()}, "language", "type object can't be sent"),
        ((2**70,), {}, "order_id", ""),
    ],
)
def test_a_wrong_call_is_refused_where_it_is_made(
    args: tuple[Any, ...], kwargs: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ArgumentCodec(plain, "m:plain").encode(args, kwargs)
    assert refused.value.problem.field == field
    assert words in str(refused.value)
    assert "m:plain" in str(refused.value)


@pytest.mark.parametrize(
    "args, kwargs, words",
    [
        ((), {}, "missing a required argument: 'first'"),
        ((1,), {"named": 3}, "named"),
        ((1, "b", "c"), {}, "rest[0]"),
        ((1,), {"z": "x"}, "others"),
    ],
)
def test_wrong_calls_of_other_kinds_are_refused(
    args: tuple[Any, ...], kwargs: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ArgumentCodec(every_kind, "m:every").encode(args, kwargs)
    assert words in str(refused.value)


def test_a_value_inside_a_value_is_named_by_its_path() -> None:
    def take(order: Order) -> None:
        pass

    with pytest.raises(InvalidRequest, match=r"^order\.lines\[0\]\.x: .*`int`, got `str`"):
        ArgumentCodec(take, "m:take").encode((Order(1, (Point("one"),)),), {})  # type: ignore[arg-type]


def test_a_value_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidRequest, match="anything"):
        ArgumentCodec(lambda anything: anything, "m:f").encode((endless,), {})


@pytest.mark.parametrize(
    "payload, encoding, words",
    [
        (b"", Encoding.MSGPACK, "truncated"),
        (b"\xc1", Encoding.MSGPACK, "can't be read"),
        (b"\x90", Encoding.MSGPACK, "array"),
        (b"\x80", Encoding.MSGPACK, "missing required field `order_id`"),
        (b"\x82\xa8order_id\x01\xa1x\x01", Encoding.MSGPACK, "no such argument"),
        (b"{", Encoding.JSON, "can't be read"),
        (b'{"order_id":"1"}', Encoding.JSON, "`int`, got `str`"),
        (b'{"order_id":1,"x":1}', Encoding.JSON, "no such argument"),
        (b"\xff", Encoding.JSON, "can't be read"),
    ],
)
def test_an_unreadable_payload_says_why(payload: bytes, encoding: Encoding, words: str) -> None:
    with pytest.raises(InvalidRequest, match="m:plain") as refused:
        ArgumentCodec(plain, "m:plain").decode(payload, encoding)
    assert words in str(refused.value)


def test_json_arguments_are_taken_too() -> None:
    codec = ArgumentCodec(plain, "m:plain")
    assert codec.decode(b'{"order_id":1}', Encoding.JSON) == {"order_id": 1}
    assert ArgumentCodec(no_arguments, "m:none").decode(b"{}", Encoding.JSON) == {}


def test_results_come_back_as_annotated() -> None:
    def give() -> list[Point]:
        return []

    codec = ArgumentCodec(give, "m:give")
    assert codec.decode_result(msgspec.msgpack.encode([Point(1, 2)])) == [Point(1, 2)]
    with pytest.raises(InvalidRequest, match="result"):
        codec.decode_result(b"\xa1x")
    assert ArgumentCodec(no_arguments, "m:none").decode_result(b"\xc0") is None
    assert ArgumentCodec(lambda: 1, "m:f").decode_result(b"\x93\x01\x02\x03") == [1, 2, 3]


def test_type_variables_are_refused() -> None:
    def take(values: list[T]) -> T:
        return values[0]

    with pytest.raises(InvalidRequest, match="values of m:take is annotated with a type variable"):
        ArgumentCodec(take, "m:take")


def test_annotations_that_cannot_be_sent_are_refused() -> None:
    def take(either: Point | Order) -> None:
        pass

    with pytest.raises(InvalidRequest, match="can't be sent"):
        ArgumentCodec(take, "m:take")


def test_an_annotation_may_be_defined_further_down() -> None:
    space: dict[str, Any] = {"__name__": "later"}
    exec("def take(order: 'Later') -> None: ...", space)  # noqa: S102
    codec = ArgumentCodec(space["take"], "m:take")
    with pytest.raises(InvalidRequest, match="'Later' is not defined"):
        codec.encode((1,), {})
    space["Later"] = Point
    assert codec.decode(codec.encode((Point(1),), {}), Encoding.MSGPACK) == {"order": Point(1)}
    assert codec.decode_result(b"\xc0") is None


def test_chosen_arguments_include_defaults() -> None:
    codec = ArgumentCodec(plain, "m:plain")
    assert codec.select({"order_id": 1}, ("order_id", "language")) == ["en", 1]
    assert codec.select({"order_id": 1}, ()) == [False, "en", 1]
    codec.require("language", "unique.by")
    with pytest.raises(InvalidRequest, match=r"unique\.by: m:plain has no argument 'colour'"):
        codec.require("colour", "unique.by")
    assert codec.needs_arguments
    assert not ArgumentCodec(no_arguments, "m:none").needs_arguments


def test_arguments_of_unknown_code_pass_unchecked() -> None:
    open_arguments = OpenArguments("billing:charge")
    payload = open_arguments.encode((), {"b": 1, "a": Path("x")})
    assert open_arguments.decode(payload, Encoding.MSGPACK) == {"b": 1, "a": "x"}
    assert open_arguments.decode(b'{"a":1}', Encoding.JSON) == {"a": 1}
    assert open_arguments.decode_result(b"\x01") == 1
    assert open_arguments.select({"b": 1, "a": 2}, ()) == [["a", 2], ["b", 1]]
    open_arguments.require("anything", "unique.by")
    with pytest.raises(InvalidRequest, match="by its name"):
        open_arguments.encode((1,), {})
    with pytest.raises(InvalidRequest, match="can't be sent"):
        open_arguments.encode((), {"a": object()})
    with pytest.raises(NotConfigured, match="by name alone"):
        open_arguments.adapt()
