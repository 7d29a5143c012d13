"""The `taskforge` command: it parses, calls operations and prints, and decides nothing."""
