"""TaskForge for operators: storage, engine, HTTP face and command line."""
