"""Who calls: an API key, or, on a developer's own machine, anybody on it."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from attrs import define, field
from starlette.requests import Request

from taskforge_client.errors import Forbidden, Unauthenticated
from taskforge_client.wire.problems import STATUS_BY_CODE, Problem, ProblemCode
from taskforge_server.operations import keys
from taskforge_server.operations.caller import Caller

TRUST_SECONDS: Final = 5.0
_MOST_REMEMBERED: Final = 10_000
_LOCAL_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Doorkeeper(Protocol):
    """Tells on whose behalf a request is made."""

    async def admit(self, request: Request) -> Caller:
        """Return the caller; raises `Unauthenticated` or `Forbidden`."""
        ...


@define(kw_only=True)
class OpenDoor:
    """Lets everybody in who is on this machine: for development on a loopback address.

    A page in a browser could reach such an address too, so requests that name another host or
    come from a page are refused.
    """

    caller: Caller

    async def admit(self, request: Request) -> Caller:
        """Return the one caller there is."""
        host = request.headers.get("host", "").rsplit(":", 1)[0]
        if host not in _LOCAL_HOSTS:
            raise _forbidden("Host", f"{host!r} is not this machine", "127.0.0.1 or localhost")
        origin = request.headers.get("origin")
        if (
            origin is not None
            and origin.removeprefix("http://").rsplit(":", 1)[0] not in _LOCAL_HOSTS
        ):
            raise _forbidden(
                "Origin", f"{origin!r} is a page elsewhere", "no page, or one from here"
            )
        return self.caller


@define(kw_only=True)
class KeyDoor:
    """Asks for ``Authorization: Bearer KEY``; a key found good is trusted for five seconds."""

    caller: Caller
    monotonic: Callable[[], float] = time.monotonic
    _trusted: OrderedDict[bytes, float] = field(init=False, factory=OrderedDict)

    async def admit(self, request: Request) -> Caller:
        """Return the caller for the request's key."""
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            raise _unauthenticated(
                "no API key was given", "send Authorization: Bearer KEY, or set TASKFORGE_API_KEY"
            )
        digest = keys.hash_secret(secret)
        if self._trusted.get(digest, 0.0) > self.monotonic():
            return self.caller
        project = await keys.project_of(self.caller.database, secret)
        if project != self.caller.project:
            self._trusted.pop(digest, None)
            raise _unauthenticated(
                "the API key is unknown, expired or revoked", "taskforge admin key create NAME"
            )
        self._trusted[digest] = self.monotonic() + TRUST_SECONDS
        while len(self._trusted) > _MOST_REMEMBERED:
            self._trusted.popitem(last=False)
        return self.caller


def _unauthenticated(detail: str, hint: str) -> Unauthenticated:
    code = ProblemCode.UNAUTHENTICATED
    return Unauthenticated(
        Problem(
            code=code,
            status=STATUS_BY_CODE[code],
            title="The API key is missing or unknown",
            field="Authorization",
            detail=detail,
            hint=hint,
        )
    )


def _forbidden(field_name: str, detail: str, expected: str) -> Forbidden:
    code = ProblemCode.FORBIDDEN
    return Forbidden(
        Problem(
            code=code,
            status=STATUS_BY_CODE[code],
            title="Only this machine may call without an API key",
            field=field_name,
            detail=detail,
            hint=f"expected {expected}",
        )
    )
