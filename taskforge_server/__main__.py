"""`python -m taskforge_server` is the `taskforge` command."""

from taskforge_server.cli.main import main

if __name__ == "__main__":
    main()
