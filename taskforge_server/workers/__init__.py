"""The server's own worker processes: the client's worker, with its counts told to Prometheus."""
