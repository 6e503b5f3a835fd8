"""Find free loopback ports."""

import socket

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """Return a port that nobody listened on a moment ago; whoever binds it must be ready to try another."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Tell whether *port* can be listened on right now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
