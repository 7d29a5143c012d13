"""A task's arguments as bytes.

Bound by its signature, checked by its annotations, encoded as one MessagePack map.

A codec is made once per function. The ordinary call costs one encode and one typed decode (which is
the check); everything slow, such as a precise message for a wrong call, happens only once something
is wrong. Arguments left to their defaults are not sent, so that a default may change with the code;
the order of the map is the signature's, so that one call has one encoding however it is written.
"""

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NotRequired, Protocol, TypedDict, TypeVar, get_args, get_type_hints

import msgspec

from taskforge_client.errors import InvalidRequest
from taskforge_client.values import (
    DECODER,
    ENCODER,
    JSON_DECODER,
    typed_decoder,
    typed_json_decoder,
)
from taskforge_client.wire.jobs import Encoding

_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_SMALL_MAP: Final = 0x80
_SMALL_MAP_MASK: Final = 0xF0
_SMALL_MAP_LENGTH: Final = 0x0F


class Arguments(Protocol):
    """How a task's arguments and results become bytes and come back."""

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return a call's arguments as bytes, checked."""
        ...

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return a call's arguments by parameter."""
        ...

    def select(self, values: dict[str, Any], names: tuple[str, ...]) -> list[Any]:
        """Return the values of some parameters (none: all), defaults included, in a fixed order."""
        ...

    def require(self, name: str, field: str) -> None:
        """Raise `InvalidRequest` for the option `field` when there is no parameter `name`."""
        ...

    def decode(self, payload: bytes, encoding: Encoding) -> dict[str, Any]:
        """Return a job's arguments by parameter."""
        ...

    def adapt(self) -> Callable[..., Any]:
        """Return the function in a form that takes every argument by name."""
        ...

    def decode_result(self, result: bytes) -> Any:
        """Return a stored result."""
        ...

    @property
    def needs_arguments(self) -> bool:
        """Whether the function can't be called without arguments."""
        ...


class ArgumentCodec:
    """Binds, checks, encodes and decodes the arguments of one function, and decodes its results.

    Raises:
        InvalidRequest: at construction, for a parameter or result whose annotation can't be sent.
    """

    def __init__(self, function: Callable[..., object], name: str) -> None:
        self.name = name
        self.signature = inspect.signature(function)
        self._function = function
        parameters = self.signature.parameters.values()
        self._positional = tuple(p.name for p in parameters if p.kind in _POSITIONAL)
        self._order = tuple(self.signature.parameters)
        self._rank = {parameter: rank for rank, parameter in enumerate(self._order)}
        self._is_plain = all(
            p.kind is not inspect.Parameter.POSITIONAL_ONLY and p.kind not in _VARIADIC
            for p in parameters
        )
        self._decoder: msgspec.msgpack.Decoder[Any] | None = None
        self._result_decoder: msgspec.msgpack.Decoder[Any] | None = None
        with suppress(
            NameError
        ):  # a name that the module defines further down is looked up again at the first send
            self._prepare()

    # -- sending ---------------------------------------------------------------------------------

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the call's arguments as a MessagePack map from parameter to value.

        Raises:
            InvalidRequest: the call does not fit the signature, a value does not fit its annotation
                or can't be sent.
        """
        values = (
            self.bind(args, kwargs) if args or len(kwargs) > 1 or not self._is_plain else kwargs
        )
        return self.encode_bound(values)

    def encode_bound(self, values: dict[str, Any]) -> bytes:
        """Return bound arguments (as `bind` gives them) as a MessagePack map, checked."""
        decoder = self._decoder or self._prepared()
        try:
            payload = ENCODER.encode(values)
            if len(decoder.decode(payload)) == len(values):
                return payload
        except (
            msgspec.MsgspecError,
            TypeError,
            ValueError,
            OverflowError,
            RecursionError,
        ) as error:
            raise self._explain_value(values, error) from None
        raise self._explain_call((), values)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments by parameter in the signature's order, defaults left out.

        ``*args`` as one list.
        """
        if not self._is_plain:
            return self._bind_fully(args, kwargs)
        if args:
            if len(args) > len(self._positional):
                raise self._explain_call(args, kwargs)
            values = dict(zip(self._positional, args, strict=False))
            count = len(args) + len(kwargs)
            values.update(kwargs)
            if len(values) != count:
                raise self._explain_call(args, kwargs)
        else:
            values = kwargs
        if len(kwargs) > 1:
            ordered = {name: values[name] for name in self._order if name in values}
            if len(ordered) != len(values):
                raise self._explain_call(args, kwargs)
            return ordered
        return values

    def select(self, values: dict[str, Any], names: tuple[str, ...]) -> list[Any]:
        """Return the values of some parameters (none: all), defaults included, in a fixed order."""
        chosen = []
        for name in sorted(names or self._order):
            default = self.signature.parameters[name].default
            chosen.append(values.get(name, None if default is inspect.Parameter.empty else default))
        return chosen

    def require(self, name: str, field: str) -> None:
        """Raise `InvalidRequest` for the option `field` when there is no parameter `name`."""
        if name not in self._rank:
            right = (
                f"one of {', '.join(self._order)}" if self._order else "a function with arguments"
            )
            raise InvalidRequest.because(field, f"{self.name} has no argument {name!r}", right)

    @property
    def needs_arguments(self) -> bool:
        """Whether the function can't be called without arguments."""
        return self._lacks_one({})

    # -- receiving -------------------------------------------------------------------------------

    def decode(self, payload: bytes, encoding: Encoding) -> dict[str, Any]:
        """Return the arguments for ``call(**arguments)``, each decoded by its annotation.

        Raises:
            InvalidRequest: the payload can't be read or does not fit the function, in words for the
                dead letters.
        """
        decoder = self._decoder or self._prepared()
        try:
            if encoding is Encoding.JSON:
                return self._decode_json(payload)
            arguments: dict[str, Any] = decoder.decode(payload)
            if payload[0] & _SMALL_MAP_MASK == _SMALL_MAP:
                sent = payload[0] & _SMALL_MAP_LENGTH
            else:
                sent = len(DECODER.decode(payload))
        except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
            raise self._explain_payload(error) from None
        if sent != len(arguments):
            raise self._explain_unknown(DECODER.decode(payload))
        return arguments

    def adapt(self) -> Callable[..., Any]:
        """Return the function in a form that takes every argument by name."""
        return self._function if self._is_plain else self._call

    def decode_result(self, result: bytes) -> Any:
        """Return a stored result as the function's return annotation says.

        Raises:
            InvalidRequest: the stored result does not fit the annotation.
        """
        if self._decoder is None:
            self._prepared()
        decoder = self._result_decoder or DECODER
        try:
            return decoder.decode(result)
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            raise InvalidRequest.because(
                "result",
                f"the stored result of {self.name} does not fit: {error}",
                "what the annotation says",
            ) from None

    # -- preparation -----------------------------------------------------------------------------

    def _prepared(self) -> msgspec.msgpack.Decoder[Any]:
        try:
            return self._prepare()
        except NameError as error:
            raise InvalidRequest.because(
                "task",
                f"an annotation of {self.name} can't be resolved: {error}",
                "names that exist at run time",
            ) from None

    def _prepare(self) -> msgspec.msgpack.Decoder[Any]:
        hints = get_type_hints(self._function, include_extras=True)
        _refuse_type_variables(self.name, hints)
        shape = self._shape(hints)
        try:
            decoder = typed_decoder(shape)
            self._json_decoder = typed_json_decoder(shape)
            self._result_decoder = typed_decoder(_plain_type(hints.get("return", Any)))
        except TypeError as error:
            raise InvalidRequest.because(
                "task",
                f"an annotation of {self.name} can't be sent: {error}",
                "types that msgspec can decode, or Any",
            ) from None
        self._decoder = decoder
        return decoder

    def _shape(self, hints: Mapping[str, Any]) -> Any:
        fields: dict[str, Any] = {}
        optional: Any = NotRequired
        for parameter in self.signature.parameters.values():
            kind = _plain_type(hints.get(parameter.name, Any))
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                items: Any = list
                fields[parameter.name] = optional[items[kind]]
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                named: Any = dict
                fields[parameter.name] = optional[named[str, kind]]
            elif parameter.default is inspect.Parameter.empty:
                fields[parameter.name] = kind
            else:
                fields[parameter.name] = optional[kind]
        typed_dict: Any = TypedDict  # its fields are known at run time only
        return typed_dict("Arguments", fields)

    def _bind_fully(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            return dict(self.signature.bind(*args, **kwargs).arguments)
        except TypeError:
            raise self._explain_call(args, kwargs) from None

    def _decode_json(self, payload: bytes) -> dict[str, Any]:
        arguments: dict[str, Any] = self._json_decoder.decode(payload)
        sent = JSON_DECODER.decode(payload)
        if len(sent) != len(arguments):
            raise self._explain_unknown(sent)
        return arguments

    def _call(self, **arguments: Any) -> Any:
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for parameter in self.signature.parameters.values():
            if parameter.name not in arguments:
                if (
                    parameter.kind in _POSITIONAL
                    and parameter.default is not inspect.Parameter.empty
                ):
                    positional.append(parameter.default)
                continue
            value = arguments[parameter.name]
            if parameter.kind in _POSITIONAL:
                positional.append(value)
            elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                positional.extend(value)
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                named.update(value)
            else:
                named[parameter.name] = value
        return self._function(*positional, **named)

    # -- explanations ----------------------------------------------------------------------------

    def _explain_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> InvalidRequest:
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            unknown = next((name for name in kwargs if name not in self._rank), None)
            field = unknown or "arguments"
            return InvalidRequest.because(
                field, f"{self.name}: {error}", f"{self.name}{self.signature}"
            )
        return self._explain_unknown(kwargs)

    def _explain_unknown(self, sent: object) -> InvalidRequest:
        names = sent if isinstance(sent, dict) else {}
        unknown = next((str(name) for name in names if name not in self._rank), "arguments")
        return InvalidRequest.because(
            unknown, f"{self.name} takes no such argument", f"{self.name}{self.signature}"
        )

    def _explain_value(self, values: dict[str, Any], error: Exception) -> InvalidRequest:
        if any(name not in self._rank for name in values) or self._lacks_one(values):
            return self._explain_call((), values)
        if isinstance(error, msgspec.ValidationError):
            return self._explain_validation(error)
        for name, value in values.items():
            try:
                ENCODER.encode(value)
            except (
                msgspec.MsgspecError,
                TypeError,
                ValueError,
                OverflowError,
                RecursionError,
            ) as cause:
                return InvalidRequest.because(name, f"{self.name}: {cause}", self._annotation(name))
        return InvalidRequest.because(
            "arguments", f"{self.name}: {error}", f"{self.name}{self.signature}"
        )

    def _lacks_one(self, values: dict[str, Any]) -> bool:
        return any(
            parameter.default is inspect.Parameter.empty
            and parameter.name not in values
            and parameter.kind not in _VARIADIC
            for parameter in self.signature.parameters.values()
        )

    def _explain_payload(self, error: Exception) -> InvalidRequest:
        if isinstance(error, msgspec.ValidationError):
            return self._explain_validation(error)
        return InvalidRequest.because(
            "payload",
            f"the arguments of {self.name} can't be read: {error}",
            "a map from parameter to value",
        )

    def _explain_validation(self, error: msgspec.ValidationError) -> InvalidRequest:
        text, _, path = str(error).partition(" - at `$")
        path = path.rstrip("`").lstrip(".")
        parameter = path.partition(".")[0].partition("[")[0]
        if parameter in self._rank:
            return InvalidRequest.because(path, f"{self.name}: {text}", self._annotation(parameter))
        return InvalidRequest.because(
            "arguments", f"{self.name}: {text}", f"{self.name}{self.signature}"
        )

    def _annotation(self, parameter: str) -> str:
        annotation = self.signature.parameters[parameter].annotation
        if annotation is inspect.Parameter.empty:
            return "a value that MessagePack can hold"
        shown = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        return f"a value of type {shown}"


def _plain_type(kind: Any) -> Any:
    return type(None) if kind is None else kind


def _refuse_type_variables(name: str, hints: Mapping[str, Any]) -> None:
    for parameter, kind in hints.items():
        if _holds_type_variable(kind):
            raise InvalidRequest.because(
                "task",
                f"{parameter} of {name} is annotated with a type variable",
                "a concrete type, or Any",
            )


def _holds_type_variable(kind: Any) -> bool:
    if isinstance(kind, TypeVar):
        return True
    return any(_holds_type_variable(argument) for argument in get_args(kind))
