"""The one error body (RFC 9457) of every interface, and the error for what can't be read."""

from enum import Enum

from attrs import frozen


class ProblemCode(Enum):
    """What went wrong, as a stable word that programs may compare."""

    INVALID_REQUEST = "invalid_request"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    KEY_REUSED = "key_reused"
    STALE_ATTEMPT = "stale_attempt"
    TOO_LARGE = "too_large"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


STATUS_BY_CODE = {
    ProblemCode.INVALID_REQUEST: 422,
    ProblemCode.UNAUTHENTICATED: 401,
    ProblemCode.FORBIDDEN: 403,
    ProblemCode.NOT_FOUND: 404,
    ProblemCode.CONFLICT: 409,
    ProblemCode.KEY_REUSED: 409,
    ProblemCode.STALE_ATTEMPT: 409,
    ProblemCode.TOO_LARGE: 413,
    ProblemCode.RATE_LIMITED: 429,
    ProblemCode.UNAVAILABLE: 503,
    ProblemCode.INTERNAL: 500,
}


@frozen(kw_only=True)
class Problem:
    """One refusal, in words for a person and codes for a program (RFC 9457)."""

    code: ProblemCode
    title: str
    status: int
    type: str = "about:blank"
    field: str | None = None
    detail: str | None = None
    hint: str | None = None
    instance: str | None = None


class MalformedValue(ValueError):
    """A value that the wire schema can't accept.

    Names the field, what is wrong and what would be right.
    """

    def __init__(self, field: str, problem: str, right: str) -> None:
        super().__init__(f"{field}: {problem}; expected {right}")
        self.field = field
        self.problem = problem
        self.right = right

    def as_problem(self) -> Problem:
        """Return the refusal to answer with."""
        return Problem(
            code=ProblemCode.INVALID_REQUEST,
            title="The request is not valid",
            status=STATUS_BY_CODE[ProblemCode.INVALID_REQUEST],
            field=self.field,
            detail=self.problem,
            hint=f"expected {self.right}",
        )
