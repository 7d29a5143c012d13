"""TaskForge for applications: define tasks, send jobs, run them in a worker."""
