"""Errors into problem documents (RFC 9457).

What went wrong inside stays inside: callers get an id, the log the rest.
"""

import secrets
from typing import Final

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from taskforge_client.errors import NotConfigured, Refused, Unreachable
from taskforge_client.wire.problems import STATUS_BY_CODE, MalformedValue, Problem, ProblemCode
from taskforge_server.rest.bodies import wants_msgpack

RETRY_AFTER_SECONDS: Final = "1"
_PROBLEM_JSON: Final = "application/problem+json"
_PROBLEM_MSGPACK: Final = "application/problem+msgpack"
_CODES_BY_STATUS: Final = {404: ProblemCode.NOT_FOUND, 401: ProblemCode.UNAUTHENTICATED}


def problem_of(error: Exception) -> Problem:
    """Return the problem to answer with; a mistake of ours is logged under its id."""
    if isinstance(error, Refused):
        return error.problem
    if isinstance(error, MalformedValue):
        return error.as_problem()
    if isinstance(error, HTTPException):
        return Problem(
            code=_CODES_BY_STATUS.get(error.status_code, ProblemCode.INVALID_REQUEST),
            status=error.status_code,
            title=error.detail,
        )
    if isinstance(error, Unreachable | NotConfigured):
        structlog.get_logger().warning("database_unavailable", error=str(error))
        return _unavailable(error)
    instance = f"urn:taskforge:error:{secrets.token_hex(8)}"
    structlog.get_logger().error("request_failed", instance=instance, exc_info=error)
    code = ProblemCode.INTERNAL
    return Problem(
        code=code,
        status=STATUS_BY_CODE[code],
        title="The server failed",
        detail="this is our mistake, not yours",
        hint="the server's log tells more under the instance given here",
        instance=instance,
    )


async def answer_error(request: Request, error: Exception) -> Response:
    """Return the answer for an error that a route raised."""
    problem = problem_of(error)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if problem.code in {ProblemCode.UNAVAILABLE, ProblemCode.RATE_LIMITED}:
        headers["Retry-After"] = RETRY_AFTER_SECONDS
    if problem.code is ProblemCode.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = 'Bearer realm="taskforge"'
    if wants_msgpack(request):
        return Response(msgspec.msgpack.encode(problem), problem.status, headers, _PROBLEM_MSGPACK)
    return Response(msgspec.json.encode(problem), problem.status, headers, _PROBLEM_JSON)


def _unavailable(error: Exception) -> Problem:
    code = ProblemCode.UNAVAILABLE
    needs_migration = isinstance(error, NotConfigured)
    return Problem(
        code=code,
        status=STATUS_BY_CODE[code],
        title="The database can't serve now",
        detail="its schema is not this version's" if needs_migration else None,
        hint="run `taskforge migrate`" if needs_migration else "try again in a second",
    )
