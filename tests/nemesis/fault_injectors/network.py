"""Faults of the network: requests and replies are lost, nodes and voters can't reach each other."""

import signal
import time
from random import Random
from typing import TYPE_CHECKING

from tests.nemesis.fault_injectors import PHASES, FaultInjector, deliver

if TYPE_CHECKING:
    from tests.nemesis.round import Round


def replies_lost(round: "Round", rng: Random) -> None:
    """Lose the replies of one voter for up to two leases, or of all for up to a second; their requests are executed."""
    round.voters.watch.wait(rng.choice(PHASES), round.pace.period)
    everywhere = rng.random() < 0.3
    proxies = round.voters.proxies if everywhere else [rng.choice(round.voters.proxies)]
    with round.hit(f"replies of {len(proxies)} lost"):
        for proxy in proxies:
            proxy.drop_replies()
        round.sleep(rng.uniform(0.2, 1.0 if everywhere else 2 * round.pace.ttl))
        for proxy in proxies:
            proxy.pass_all()
            proxy.disconnect()


def requests_lost(round: "Round", rng: Random) -> None:
    """Lose one or two kinds of requests to one voter for up to two leases, or to all for up to a second."""
    everywhere = rng.random() < 0.3
    proxies = round.voters.proxies if everywhere else [rng.choice(round.voters.proxies)]
    kinds = rng.sample((*PHASES, "release"), rng.randint(1, 2))
    with round.hit(f"{kinds} to {len(proxies)} lost"):
        for proxy in proxies:
            proxy.drop_requests(*kinds)
        round.sleep(rng.uniform(0.2, 1.0 if everywhere else 2 * round.pace.ttl))
        for proxy in proxies:
            proxy.pass_all()


def dies_inside_commit(round: "Round", rng: Random) -> None:
    """Let a commit reach one voter only and kill the node: that was not a run, and another node has to run."""
    here = rng.choice(round.voters.proxies)
    for proxy in round.voters.proxies:
        if proxy is not here:
            proxy.drop_requests("commit")
    if round.voters.watch.wait("commit", round.pace.period) and (attempt := round.committed(here.server)):
        with round.hit(f"{attempt.node} died, with a commit at {here.server.place.address} only"):
            attempt.disturbed = True
            deliver(attempt.pid, signal.SIGKILL)
            time.sleep(0.3)  # packets that it sent are still on their way to the proxies
        pids = [record.get("pid") for _, record in round.voters.records(round.key)]
        attempt.spent = pids.count(str(attempt.pid)) > 1
    for proxy in round.voters.proxies:
        proxy.pass_all()
    round.sleep(round.pace.period)


def cut(there: bool, back: bool) -> FaultInjector:
    """Cut some nodes off from some voters, in one or both directions; one node always reaches all."""

    def inject(round: "Round", rng: Random) -> None:
        nodes = rng.sample(round.nodes.all[1:], rng.randint(1, len(round.nodes.all) - 1))
        voters = rng.sample(round.voters.namespaces, rng.randint(1, len(round.voters.namespaces)))
        network, namespaces = round.network, [node.namespace for node in nodes]
        with round.hit(f"{len(nodes)} nodes cut off from {len(voters)} voters"):
            for namespace in namespaces if there else ():
                network.cut(namespace, voters)
            for voter in voters if back else ():
                network.cut(voter, namespaces)
            round.sleep(rng.uniform(0.3, 2 * round.pace.ttl))
            for namespace in namespaces if there else ():
                network.mend(namespace, voters)
            for voter in voters if back else ():
                network.mend(voter, namespaces)

    return inject
