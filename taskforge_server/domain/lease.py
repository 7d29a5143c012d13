"""Lease arithmetic: until when a holder may trust its lease, when to renew, when one has run out.

The holder counts on its monotonic clock from the moment it *sent* the request, so a slow answer
never lengthens trust; whether a lease has run out for everybody else is decided by the database's
clock.
"""

from datetime import datetime, timedelta

from attrs import frozen

from taskforge_server.domain.clock import Rng


@frozen(kw_only=True)
class LeaseTerms:
    """The length of a lease and the pace of its renewal.

    The holder stops trusting it `margin_seconds` before its end.
    """

    lease_seconds: float
    renew_seconds: float
    margin_seconds: float = 0.0

    def __attrs_post_init__(self) -> None:
        """Refuse terms under which a single lost renewal would lose the lease."""
        if not 0 < self.renew_seconds * 2 <= self.lease_seconds - self.margin_seconds:
            raise ValueError(
                f"renew_seconds: {self.renew_seconds:g} is too slow for a lease "
                f"of {self.lease_seconds:g} s with a margin of {self.margin_seconds:g} s; "
                "expected above 0 and at most half of what is left"
            )

    def trusted_until(self, sent_at: float) -> float:
        """Return until when (monotonic seconds) a lease asked for at `sent_at` may be trusted."""
        return sent_at + self.lease_seconds - self.margin_seconds

    def next_renewal(self, sent_at: float, rng: Rng) -> float:
        """Return when (monotonic seconds) to renew.

        Up to a tenth early so that many holders spread out.
        """
        return sent_at + self.renew_seconds * (1 - 0.1 * rng.random())


def is_expired(expires_at: datetime, now: datetime) -> bool:
    """Whether a lease that ends at `expires_at` is over at `now`.

    The last instant still belongs to the holder.
    """
    return now > expires_at


def extended(now: datetime, terms: LeaseTerms) -> datetime:
    """Return the end of a lease granted or renewed at `now`."""
    return now + timedelta(seconds=terms.lease_seconds)
