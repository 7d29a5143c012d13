"""Queues and their weights, as people write them: ``mail,default:4``, names, or a mapping."""

from collections.abc import Iterable, Mapping

from taskforge_client.errors import InvalidRequest
from taskforge_client.wire.limits import queue_name
from taskforge_client.wire.problems import MalformedValue


def queue_weights(queues: str | Iterable[str] | Mapping[str, int]) -> dict[str, int]:
    """Return weights by queue; a queue without one has weight 1.

    Raises:
        InvalidRequest: a name or a weight is wrong.
    """
    if isinstance(queues, Mapping):
        pairs = [(name, weight) for name, weight in queues.items()]
    else:
        parts = queues.split(",") if isinstance(queues, str) else queues
        pairs = [_pair(part.strip()) for part in parts]
    weights: dict[str, int] = {}
    for name, weight in pairs:
        if not isinstance(weight, int) or weight < 1:
            raise InvalidRequest.because("queues", f"the weight {weight!r} is wrong", "1 or more")
        try:
            weights[queue_name(name)] = weight
        except MalformedValue as error:
            raise InvalidRequest(error.as_problem()) from None
    if not weights:
        raise InvalidRequest.because("queues", "none is named", "at least one name")
    return weights


def _pair(part: str) -> tuple[str, int]:
    name, colon, weight = part.partition(":")
    return name, int(weight) if weight.isdecimal() else int(not colon)
