"""Opens what a worker needs to reach TaskForge, by the URL's scheme."""

from typing import Final

from taskforge_client.errors import NotConfigured
from taskforge_client.settings import ClientSettings
from taskforge_client.wire.workers import LEASE_SECONDS
from taskforge_client.worker.guard import LeaseKeeping
from taskforge_client.worker.source import JobSource

_DIRECT: Final = ("postgresql://", "postgres://")


def open_source(settings: ClientSettings, lease_seconds: float = LEASE_SECONDS) -> JobSource:
    """Return a source of jobs; nothing is connected before the first call.

    Raises:
        NotConfigured: no worker can go this road, or what it needs is not installed.
    """
    _require_direct(settings.url)
    from taskforge_client.worker.postgres_source import PostgresSource

    return PostgresSource(settings.url, settings.project, lease_seconds=lease_seconds)


def open_leases(settings: ClientSettings, lease_seconds: float = LEASE_SECONDS) -> LeaseKeeping:
    """Return a supervisor's own access to leases; raises as `open_source`."""
    _require_direct(settings.url)
    from taskforge_client.worker.postgres_lease import LeaseKeeper

    return LeaseKeeper(settings.url, lease_seconds)


def _require_direct(url: str) -> None:
    if not url.startswith(_DIRECT):
        scheme = url.partition(":")[0]
        raise NotConfigured(
            f"TASKFORGE_URL: a worker can't take jobs over {scheme}:// yet; "
            "give it the database, postgresql://…"
        )
    try:
        import psycopg  # noqa: F401 - only whether it is there
    except ImportError:
        raise NotConfigured(
            "a worker over postgresql:// needs psycopg: pip install 'taskforge-client[postgres]'"
        ) from None
