"""The direct road: straight to PostgreSQL.

Through the SQL face and binary COPY (extra `[postgres]`).
"""

from taskforge_client.transport.postgres.road import PostgresTransport

__all__ = ["PostgresTransport"]
