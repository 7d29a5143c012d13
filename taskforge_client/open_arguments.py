"""The arguments of a task that is known by name alone, because its code is elsewhere."""

from collections.abc import Callable
from typing import Any

import msgspec

from taskforge_client.errors import InvalidRequest, NotConfigured
from taskforge_client.values import DECODER, ENCODER, JSON_DECODER
from taskforge_client.wire.jobs import Encoding


class OpenArguments:
    """Arguments of a task whose code is not here: any by name, unchecked.

    Results come as plain values.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.needs_arguments = False

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the arguments as a MessagePack map.

        Raises `InvalidRequest` for positional ones.
        """
        try:
            return ENCODER.encode(self.bind(args, kwargs))
        except (
            msgspec.MsgspecError,
            TypeError,
            ValueError,
            OverflowError,
            RecursionError,
        ) as error:
            raise InvalidRequest.because(
                "arguments", f"{self.name}: {error}", "values that MessagePack can hold"
            ) from None

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the named arguments; raises `InvalidRequest` for positional ones."""
        if args:
            raise InvalidRequest.because(
                "arguments", f"{self.name} is known by name alone", "every argument by its name"
            )
        return kwargs

    def select(self, values: dict[str, Any], names: tuple[str, ...]) -> list[Any]:
        """Return the values of some arguments (none: all) in the order of their names."""
        return [[name, values.get(name)] for name in sorted(names or values)]

    def require(self, name: str, field: str) -> None:
        """Accept any name: the signature is not known here."""

    def decode(self, payload: bytes, encoding: Encoding) -> dict[str, Any]:
        """Return a job's arguments as plain values."""
        decoder = JSON_DECODER if encoding is Encoding.JSON else DECODER
        arguments: dict[str, Any] = decoder.decode(payload)
        return arguments

    def adapt(self) -> Callable[..., Any]:
        """Raise `NotConfigured`: there is no code here."""
        raise NotConfigured(f"{self.name} is known by name alone: its code is not here")

    def decode_result(self, result: bytes) -> Any:
        """Return a stored result as plain values."""
        return DECODER.decode(result)
