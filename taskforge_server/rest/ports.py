"""Takes the port to listen on early, so that a taken one is told before anything is started."""

import socket
from typing import Final

_BACKLOG: Final = 1024


class PortTaken(OSError):
    """Another program listens on the port."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"port {port} on {host} is in use by another program; choose another with --port, "
            "or stop what is there (`taskforge doctor` shows whether it is a TaskForge)"
        )


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens; 0 takes a free port.

    Raises:
        PortTaken: another program has it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise PortTaken(host, port) from error
    return bound
