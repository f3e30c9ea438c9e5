"""Ports of this machine for the servers of tests."""

import random
import socket

BUS = 10_000  # from a node's port to that of its cluster bus


# Below the ports that the kernel gives to clients, or one could take a dead server's port before it is restarted; the
# cluster bus listens 10000 above.
PORTS = range(10_000, 22_000)


def _free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port which nobody listens on now, nor on its cluster bus."""
    for _ in range(1000):
        port = random.choice(PORTS)
        if _free(port) and _free(port + BUS):
            return port
    raise RuntimeError(f"no free port among {PORTS}")


class PortTakenError(Exception):
    """Raised when somebody else was faster to listen on a server's port."""
