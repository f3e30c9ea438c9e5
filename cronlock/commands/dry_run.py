"""`run --dry-run`: what would be done, and where each value comes from; connects to nothing."""

import shlex
import time
from collections.abc import Sequence

from cronlock.config.options import OPTIONS, spell
from cronlock.config.settings import Settings
from cronlock.lock.local import state_directory
from cronlock.messages import instant, printable, write_anything
from cronlock.run.plan import Plan
from cronlock.servers.placement import copies
from cronlock.servers.voters import NOWHERE

UPCOMING = 3


def show(settings: Settings, plan: Plan, argv: Sequence[str]) -> int:
    """Print the plan on standard output, a line per fact; returns 0."""
    write_anything()
    rows = [("key", plan.key), ("mode", settings.mode), ("node", plan.node), ("command", shlex.join(argv))]
    rows += _time(plan)
    rows += _others(plan)
    rows += [
        ("kill after", spell(plan.kill_after)),
        ("outage wait", f"{spell(plan.outage_wait)}, then {settings.on_outage}"),
    ]
    rows += _voters(settings, plan)
    for name, value in rows:
        print(f"{name:12} {printable(value)}")  # noqa: T201 - this is what was asked for
    print("\nwhere each value came from")  # noqa: T201
    for option in OPTIONS:
        source = settings.source(option.name)
        if source != "default":
            print(f"  {option.name:20} {printable(source)}")  # noqa: T201
    return 0


def _time(plan: Plan) -> list[tuple[str, str]]:
    if not plan.tick:
        return [("schedule", plan.note or "none: a plain mutex"), ("lease", spell(plan.lease_at(0)))]
    rows = [("tick", instant(plan.tick))]
    if plan.schedule:
        rows = [
            ("schedule", f"{plan.schedule.text}  ({plan.schedule.zone}; from {plan.schedule_source})"),
            *rows,
            ("next", ", ".join(instant(tick) for tick in plan.schedule.upcoming(plan.tick, UPCOMING))),
        ]
    lease = plan.lease_at(int(time.time() * 1000))
    rows.append(("lease", f"{spell(lease // 1000 * 1000)} from now, extended while the command runs"))
    if plan.start_deadline:
        rows.append(("late at", instant(plan.start_deadline // 1000)))
    return rows


def _others(plan: Plan) -> list[tuple[str, str]]:
    """What this node does about the others."""
    rows = [("fair", "yes: a node that ran longer ago goes first")] if plan.fair else []
    if plan.splay:
        rows.append(("splay", f"at random, at most {spell(plan.splay)}"))
    if plan.wait:
        rows.append(("wait", f"{spell(plan.wait)}, for a held lock"))
    if plan.failover:
        fails = ", or when the command fails" if plan.retry_failed else ""
        after = f"{spell(plan.lease_at(0))} after its node's death at most{fails}; {plan.attempts} attempts in all"
        rows.append(("failover", f"the tick is taken over {after}"))
    return rows


def _voters(settings: Settings, plan: Plan) -> list[tuple[str, str]]:
    if settings.local:
        return [("voters", f"1: a file in {state_directory()}")]
    if not settings.redis:
        return [("voters", f"none: {NOWHERE.partition('? ')[2]}")]
    labels = ", ".join(address.label for address in settings.redis)
    names = copies(settings.prefix, plan.key, plan.each_node)
    shown = [one.keys[0].decode("utf-8", "replace") for one in names]
    rows = [("voters", f"{labels}; if that is a Redis Cluster, {len(names)} copies there")]
    if settings.verbose:
        return rows + [
            (f"copy {i}", one + ("" if i else "  (the only name outside a cluster)")) for i, one in enumerate(shown)
        ]
    return [*rows, ("name there", f"{shown[0]}  (-v: those of a cluster's copies)")]
