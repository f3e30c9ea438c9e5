"""A network namespace for every node and every server, and links between them that can be cut.

A cut is a wrong hardware address in one namespace's neighbour table: packets that it sends to the other are lost
silently, packets from the other still arrive, and connections stay open.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

NETWORK = "10.9"
BRIDGE = "bridge0"
NO_HOST = "02:00:00:00:ff:ff"  # a hardware address that no interface has


@dataclass(frozen=True)
class Namespace:
    """A network namespace with one address, kept by a process that sleeps in it.

    `words` precede a command line that is to run in here; it keeps its process number. `ahead` is the number of seconds
    by which CLOCK_MONOTONIC is ahead in here.
    """

    address: str
    keeper: subprocess.Popen[bytes]
    words: tuple[str, ...]
    ahead: int = 0


def ip(*lines: str, namespace: Namespace | None = None) -> None:
    """Run lines for ip(8), all at once."""
    words = (*(namespace.words if namespace else ()), "ip", "-batch", "-")
    subprocess.run(words, input="\n".join(lines), text=True, check=True, capture_output=True)


class BridgedNetwork:
    """Several namespaces on one bridge. The enclosing network namespace has the first address and ends with it."""

    address = f"{NETWORK}.0.1"

    def __init__(self, namespaces: int) -> None:
        ip("link set lo up", f"link add {BRIDGE} type bridge", f"link set {BRIDGE} up")
        ip(f"addr add {self.address}/16 dev {BRIDGE}")
        keepers = [subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"],
                                    stdout=subprocess.PIPE) for _ in range(namespaces)]  # fmt: skip
        for keeper in keepers:
            assert keeper.stdout
            keeper.stdout.readline()  # the keeper has its namespace
        self.namespaces = [
            Namespace(f"{NETWORK}.1.{number + 1}", keeper, ("nsenter", "-t", str(keeper.pid), "-n", "--"))
            for number, keeper in enumerate(keepers)
        ]
        ip(*(f"link add namespace{n} type veth peer name eth0 netns {namespace.keeper.pid}"
             for n, namespace in enumerate(self.namespaces)))  # fmt: skip
        ip(*(f"link set namespace{n} master {BRIDGE} up" for n in range(namespaces)))
        for namespace in self.namespaces:
            ip("link set lo up", f"addr add {namespace.address}/16 dev eth0", "link set eth0 up", namespace=namespace)

    @staticmethod
    def cut(namespace: Namespace, others: Sequence[Namespace]) -> None:
        """Lose from now on everything that `namespace` sends to the others."""
        ip(
            *(f"neigh replace {other.address} lladdr {NO_HOST} dev eth0 nud permanent" for other in others),
            namespace=namespace,
        )

    @staticmethod
    def mend(namespace: Namespace, others: Sequence[Namespace]) -> None:
        """Undo a cut."""
        ip(*(f"neigh del {other.address} dev eth0" for other in others), namespace=namespace)

    def close(self) -> None:
        for namespace in self.namespaces:
            namespace.keeper.kill()
            namespace.keeper.wait()
