"""An embedded PostgreSQL: the programs of an installed wheel, started and stopped by ourselves.

    with start_embedded(Path(".taskforge/postgresql")) as server:
        psycopg.connect(server.url)

Any user may do so, root included, for whom the server runs as an unprivileged user; folders that
are not ours keep their modes. The server listens on a loopback port behind a random password. It
ends when its last user process has ended, however that went. It is no database cluster, pool or
migration.
"""

from __future__ import annotations

from taskforge_server.storage.embedded.progress import StartPhase
from taskforge_server.storage.embedded.server import EmbeddedPostgres, StopMode, start_embedded

__all__ = ["EmbeddedPostgres", "StartPhase", "StopMode", "start_embedded"]
