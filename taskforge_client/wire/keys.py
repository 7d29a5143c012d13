"""API keys on the wire. A secret is shown once, when it is made."""

from datetime import datetime

from attrs import frozen


@frozen(kw_only=True)
class KeyView:
    """An API key as it may be shown, without its secret."""

    id: str
    name: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


@frozen(kw_only=True)
class KeyCreated:
    """The answer to a new key: the only time its secret is told."""

    key: KeyView
    secret: str
