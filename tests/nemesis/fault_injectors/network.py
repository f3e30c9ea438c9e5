"""What happens on the way: requests and replies are lost, nodes and voters don't hear each other."""

import signal
import time
from random import Random
from typing import TYPE_CHECKING

from tests.nemesis.fault_injectors import PHASES, Harm, deliver

if TYPE_CHECKING:
    from tests.nemesis.round import Round


def replies_lost(round: "Round", rng: Random) -> None:
    """Of one voter for up to two leases, or of all for up to a second: done, and nobody hears of it."""
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
    """Of one or two kinds, to one voter for up to two leases, or to all for up to a second: they are never done."""
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
    """A node's commit reaches one voter only, and then the node dies: that is no run, and another one has to run."""
    here = rng.choice(round.voters.proxies)
    for proxy in round.voters.proxies:
        if proxy is not here:
            proxy.drop_requests("commit")
    if round.voters.watch.wait("commit", round.pace.period) and (attempt := round.committed(here.server)):
        with round.hit(f"{attempt.node} died, with a commit at {here.server.place.address} only"):
            attempt.harmed = True
            deliver(attempt.pid, signal.SIGKILL)
            time.sleep(0.3)  # what it has sent is still on its way to the proxies
        pids = [record.get("pid") for _, record in round.voters.records(round.key)]
        attempt.spent = pids.count(str(attempt.pid)) > 1
    for proxy in round.voters.proxies:
        proxy.pass_all()
    round.sleep(round.pace.period)


def cut(there: bool, back: bool) -> Harm:
    """Some nodes can't reach some voters, or can't be reached by them; one node can all the time."""

    def harm(round: "Round", rng: Random) -> None:
        nodes = rng.sample(round.crew.nodes[1:], rng.randint(1, len(round.crew.nodes) - 1))
        voters = rng.sample(round.voters.rooms, rng.randint(1, len(round.voters.rooms)))
        house, rooms = round.house, [node.room for node in nodes]
        with round.hit(f"{len(nodes)} nodes cut off from {len(voters)} voters"):
            for room in rooms if there else ():
                house.cut(room, voters)
            for voter in voters if back else ():
                house.cut(voter, rooms)
            round.sleep(rng.uniform(0.3, 2 * round.pace.ttl))
            for room in rooms if there else ():
                house.mend(room, voters)
            for voter in voters if back else ():
                house.mend(voter, rooms)

    return harm
