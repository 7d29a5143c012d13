"""The server's only way to PostgreSQL: the embedded server, pools, statements, migrations."""
