"""`run --dry-run`: the plan of a run and the source of each value, without a connection to any server."""

import shlex
import time
from collections.abc import Sequence

from cronlock.config.options import OPTIONS, spell
from cronlock.config.settings import Settings
from cronlock.cron.explanation import in_words
from cronlock.lock.local import state_directory
from cronlock.messages import instant, printable
from cronlock.output.table import Printer
from cronlock.run.plan import Plan
from cronlock.servers import not_configured
from cronlock.servers.placement import copies

UPCOMING = 3


def show(settings: Settings, plan: Plan, argv: Sequence[str]) -> int:
    """Print the plan on standard output, one line per fact; return 0."""
    rows = [("key", plan.key), ("mode", settings.mode), ("node", plan.node), ("command", shlex.join(argv))]
    rows += _time_rows(plan)
    rows += _node_rows(plan)
    rows += [
        ("kill after", spell(plan.kill_after)),
        ("outage wait", f"{spell(plan.outage_wait)}, then {settings.on_outage}"),
    ]
    rows += _voter_rows(settings, plan)
    lines = [f"{name:12} {printable(value)}" for name, value in rows]
    lines += ["", "sources of the values"]
    sources = ((option.name, settings.source(option.name)) for option in OPTIONS)
    lines += [f"  {name:20} {printable(source)}" for name, source in sources if source != "default"]
    Printer().write("".join(f"{line}\n" for line in lines))
    return 0


def _time_rows(plan: Plan) -> list[tuple[str, str]]:
    if not plan.tick:
        return [("schedule", plan.note or "none: only overlap is prevented"), ("lease", spell(plan.lease_at(0)))]
    rows = [("tick", instant(plan.tick))]
    if plan.schedule:
        rows = [
            ("schedule", f"{plan.schedule.text}  ({plan.schedule.zone}; from {plan.schedule_source})"),
            *_words(plan.schedule.text),
            *([("not read", ", ".join(plan.unread))] if plan.unread else []),
            *rows,
            ("next", ", ".join(instant(tick) for tick in plan.schedule.upcoming(plan.tick, UPCOMING))),
        ]
    lease = plan.lease_at(int(time.time() * 1000))
    rows.append(("lease", f"{spell(lease // 1000 * 1000)} from now, extended while the command runs"))
    if plan.start_deadline:
        rows.append(("too late at", instant(plan.start_deadline // 1000)))
    return rows


def _words(schedule: str) -> list[tuple[str, str]]:
    words = in_words(schedule)
    return [("in words", words)] if words else []


def _node_rows(plan: Plan) -> list[tuple[str, str]]:
    """Return lines on how this node behaves towards the other nodes."""
    rows = [("fair", "yes: the node that ran longest ago goes first")] if plan.fair else []
    if plan.splay:
        rows.append(("splay", f"a random time, up to {spell(plan.splay)}"))
    if plan.wait:
        rows.append(("wait", f"up to {spell(plan.wait)} for a held lock"))
    if plan.failover:
        fails = ", or when the command fails" if plan.retry_failed else ""
        after = f"at most {spell(plan.lease_at(0))} after its node's death{fails}; {plan.attempts} attempts in all"
        rows.append(("failover", f"takes the tick over {after}"))
    return rows


def _voter_rows(settings: Settings, plan: Plan) -> list[tuple[str, str]]:
    if settings.local:
        return [("voters", f"1: a file in {state_directory()}")]
    if not settings.redis:
        return [("voters", not_configured(settings))]
    labels = ", ".join(address.label for address in settings.redis)
    names = copies(settings.prefix, plan.key, plan.each_node)
    shown = [one.keys[0].decode("utf-8", "replace") for one in names]
    rows = [("voters", f"{labels}; {len(names)} copies if that is a Redis Cluster")]
    if settings.verbose:
        return rows + [
            (f"copy {i}", one + ("" if i else "  (the only key name outside a cluster)")) for i, one in enumerate(shown)
        ]
    return [*rows, ("key name", f"{shown[0]}  (-v shows those of a cluster's copies)")]
