"""What runs beside the benchmark: TaskForge's worker and server processes."""
