"""Request bodies into wire values and wire values into answers, as JSON or MessagePack.

The body's form follows `Content-Type`, the answer's `Accept`.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from taskforge_client.errors import InvalidRequest, TooLarge
from taskforge_client.wire.codec import decode_json, decode_msgpack, encode_json, encode_msgpack
from taskforge_client.wire.problems import STATUS_BY_CODE, Problem, ProblemCode

T = TypeVar("T")
JSON: Final = "application/json"
MSGPACK: Final = "application/msgpack"
_MSGPACK_NAMES: Final = frozenset({MSGPACK, "application/x-msgpack", "application/vnd.msgpack"})
_UNSUPPORTED_MEDIA_TYPE: Final = 415


async def read_body(
    request: Request, kind: type[T], *, limit_bytes: int, empty: T | None = None
) -> T:
    """Return the body as a wire value; `empty`, where given, stands for no body at all.

    Raises:
        TooLarge: it is longer than `limit_bytes`.
        InvalidRequest: its media type is not understood, or it ended early.
        MalformedValue: it can't be read, or a field is unknown, missing or wrong.
    """
    data = await _read_bytes(request, limit_bytes)
    if not data and empty is not None:
        return empty
    decode = decode_msgpack if _body_is_msgpack(request) else decode_json
    return decode(data, kind, refuse_unknown=True, limit=limit_bytes)


def answer(
    request: Request, value: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a wire value in the form that the request accepts."""
    if wants_msgpack(request):
        return Response(encode_msgpack(value), status, headers, MSGPACK)
    return Response(encode_json(value), status, headers, JSON)


def wants_msgpack(request: Request) -> bool:
    """Whether the request accepts MessagePack by name."""
    accepted = request.headers.get("accept", "")
    return any(name in accepted for name in _MSGPACK_NAMES)


def _body_is_msgpack(request: Request) -> bool:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in _MSGPACK_NAMES:
        return True
    if media_type == JSON or media_type.endswith("+json"):
        return False
    raise InvalidRequest(
        Problem(
            code=ProblemCode.INVALID_REQUEST,
            status=_UNSUPPORTED_MEDIA_TYPE,
            title="The media type is not understood",
            field="Content-Type",
            detail=f"{media_type!r} is not understood" if media_type else "it is missing",
            hint=f"expected {JSON} or {MSGPACK}",
        )
    )


async def _read_bytes(request: Request, limit_bytes: int) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit_bytes:
        raise _too_large(limit_bytes)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit_bytes:
                raise _too_large(limit_bytes)
            chunks.append(chunk)
    except ClientDisconnect:
        raise InvalidRequest.because("body", "it ended early", "the whole body") from None
    return b"".join(chunks)


def _too_large(limit_bytes: int) -> TooLarge:
    code = ProblemCode.TOO_LARGE
    return TooLarge(
        Problem(
            code=code,
            status=STATUS_BY_CODE[code],
            title="The request is too large",
            field="body",
            detail=f"it is above the limit of {limit_bytes:,} bytes",
            hint="send less in one request, or a reference instead of the data",
        )
    )
