"""Settings of the embedded PostgreSQL: a small server on a developer's or a single machine.

Nothing here trades durability for speed: `fsync`, `full_page_writes` and `synchronous_commit` stay
on. It does not hold settings of single tables or roles; migrations do that.
"""

from __future__ import annotations

from collections.abc import Mapping

DEFAULT_SETTINGS: Mapping[str, str] = {
    # Durability: what has been acknowledged survives a power cut.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # Memory is touched only when used, so an idle server stays small.
    "shared_buffers": "256MB",
    "max_connections": "100",
    # Few, spread checkpoints: a full page is logged after each, which costs a queue more than its
    # rows.
    "max_wal_size": "2GB",
    "min_wal_size": "128MB",
    "checkpoint_timeout": "15min",
    "wal_buffers": "16MB",
    # Queue tables: short statements on small indexes, for which compiling is never worth it.
    "jit": "off",
    "random_page_cost": "1.1",
    # Queue tables die fast: look often, and vacuum without long pauses.
    "autovacuum_naptime": "10s",
    "autovacuum_vacuum_cost_limit": "2000",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.05",
    # One file a weekday, each emptied when its day comes again.
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_file_mode": "0600",
    "log_line_prefix": "%m [%p] %a ",
    "log_lock_waits": "on",
    "log_checkpoints": "off",
    # Loopback TCP only: a Unix socket would need a folder that every user of the machine can enter.
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
}
"""What every embedded server starts with; `start_embedded(settings=…)` goes over it."""

RESERVED_SETTINGS = frozenset(
    {"port", "listen_addresses", "unix_socket_directories", "data_directory", "hba_file"}
)
"""What callers may not set: the server's address and protection are ours."""


def merged_settings(settings: Mapping[str, str] | None) -> dict[str, str]:
    """The defaults with the caller's settings over them.

    Args:
        settings: PostgreSQL settings by name, values as in `postgresql.conf`.

    Raises:
        ValueError: A setting is named that belongs to the embedded server itself.
    """
    chosen = dict(settings or {})
    reserved = sorted(RESERVED_SETTINGS & chosen.keys())
    if reserved:
        raise ValueError(
            f"settings: {', '.join(reserved)} cannot be set on the embedded PostgreSQL, "
            "which chooses its own address; use the port argument, or your own server"
        )
    return {**DEFAULT_SETTINGS, **chosen}
