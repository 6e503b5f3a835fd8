"""Find free loopback ports."""

import random
import socket

LOOPBACK = "127.0.0.1"

UNUSED_BY_CLIENTS = range(12_000, 32_000)
"""Below the ports that Linux gives to outgoing connections: none of those takes one between look and use."""


def free_port() -> int:
    """Return a port that nobody listened on a moment ago; whoever binds it must be ready to try another."""
    while not is_free(port := random.choice(UNUSED_BY_CLIENTS)):  # noqa: S311 - no secret
        pass
    return port


def is_free(port: int) -> bool:
    """Tell whether *port* can be listened on right now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
