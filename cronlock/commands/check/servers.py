"""The voters, one by one: reachable, how far away, their clocks, and whether they keep what they are told."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from cronlock.commands.check import acl
from cronlock.commands.check.acl import Rights
from cronlock.commands.check.findings import GREEN, RED, VOTERS, YELLOW, Finding
from cronlock.config.settings import Settings
from cronlock.errors import Refused
from cronlock.lock.local import distrust, state_directory
from cronlock.lock.quorum import quorum
from cronlock.lock.state_machine import CLOCK_LIMIT
from cronlock.servers.url import WORDS
from cronlock.survey.clients import TIMEOUT, Insecure, Server, Servers, why

ASKED = 5  # times, of which the median counts
FAR, TOO_FAR = 0.1, 1.0  # s of a round trip: two of them are a run's start; an answer has to come within a second
CLOCK_OFF = 0.5  # s: nodes take turns as long as clocks differ by less
TESTED = (6, 2)
FULL = 0.9  # of maxmemory
COVERAGE = "cluster-require-full-coverage"
REFUSALS = {  # how a server answers a write that it does not carry out
    "READONLY": "name the address of its master",
    "OOM": "give it more memory: CONFIG SET maxmemory",
    "MISCONF": "look at its disk and its log",
    "CLUSTERDOWN": "redis-cli --cluster check tells which slots are not served",
    "MASTERDOWN": "name the address of its master",
    "NOREPLICAS": "look at its replicas, or CONFIG SET min-replicas-to-write 0",
}


@dataclass
class Told:
    """What one server answered. `ahead` is its clock less this machine's, in s; `info` is empty if refused."""

    server: Server
    trip: float = 0.0  # s
    ahead: float | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    fsync: str = "always"  # or what appendfsync is, where that can be told
    rights: Rights = field(default_factory=Rights)

    @property
    def label(self) -> str:
        return self.server.label


def interview(server: Server, prefix: str) -> Told:
    """Ask one server everything. Raises redis.ConnectionError when it stops to answer."""
    told = Told(server)
    try:
        trips = [_ask_time(server) for _ in range(ASKED)]
        told.trip = statistics.median(trip for trip, _ in trips)
        told.ahead = min(trips)[1]
    except redis.ResponseError:  # told.rights says which right is missing
        pass
    try:
        told.info = server.client.info()
    except redis.ResponseError:
        pass
    try:
        told.fsync = str(server.client.config_get("appendfsync").get("appendfsync", "always"))
    except redis.ResponseError:  # no right to it
        pass
    told.rights = acl.try_all(server, prefix)
    return told


def _ask_time(server: Server) -> tuple[float, float]:
    """The round trip, and how far the server's clock is ahead of this machine's at the middle of it.

    TIME and not PING: the user of the README may ask for the one and not for the other.
    """
    wall, begun = time.time(), time.monotonic()
    seconds, microseconds = server.client.time()
    trip = time.monotonic() - begun
    return trip, seconds + microseconds / 1e6 - (wall + trip / 2)


def silent(label: str, error: Exception) -> Finding:
    """A server that could not be asked."""
    if isinstance(error, redis.TimeoutError):
        return Finding(VOTERS, RED, label, f"no answer in {TIMEOUT:.0f} s", "look at its machine and the network")
    if isinstance(error, redis.AuthenticationError | redis.exceptions.AuthenticationWrongNumberOfArgsError):
        return Finding(VOTERS, RED, label, str(error).rstrip("."), "put the right user and password into its URL")
    if isinstance(error, redis.exceptions.NoPermissionError):
        return Finding(VOTERS, RED, label, str(error), "give it the rights that the README lists")
    if isinstance(error, redis.exceptions.BusyLoadingError):
        return Finding(VOTERS, RED, label, "it is loading its data", "wait until it has")
    if isinstance(error, redis.ResponseError):
        return Finding(VOTERS, RED, label, f"it answers: {error}", "ask who runs it")
    if isinstance(error, Insecure):
        return Finding(VOTERS, RED, label, error.unsafe.what, error.unsafe.todo or "look at its log")
    return Finding(VOTERS, RED, label, why(error), "start it, or mend the URL or the network")


def judge(told: Told, alone: bool) -> list[Finding]:
    """One server. `alone`: no other voter remembers what it forgets."""
    faults = [*_distance(told), *_about_tls(told), *_about_info(told, alone)]
    known = " ".join(finding.text for finding in faults)
    for text in told.rights.refusals:
        code = text.partition(" ")[0]
        if code not in known:
            faults.append(_fault(told, RED, f"it refuses to write: {text}", REFUSALS.get(code, "ask who runs it")))
    user = told.server.address.username or "default"
    lacking = acl.judge(told.label, user, told.rights)
    faults += lacking
    facts = _facts(told, [] if lacking or told.rights.refusals else ["all rights"])
    return [*([Finding(VOTERS, GREEN, told.label, ", ".join(facts))] if facts else []), *faults]


def _fault(told: Told, level: str, text: str, todo: str) -> Finding:
    return Finding(VOTERS, level, told.label, text, todo)


def _facts(told: Told, more: list[str]) -> list[str]:
    """What is well, for one line."""
    facts = [_version(told.info)[0]] if told.info else []
    if told.ahead is not None:
        facts += [f"answers in {max(told.trip * 1000, 0.1):.1f} ms"] if told.trip <= FAR else []
        facts += [f"clock {abs(told.ahead) * 1000:.0f} ms off"] if abs(told.ahead) < CLOCK_OFF else []
    tls = told.server.address.tls
    facts += ["TLS"] if tls and not _unverified(tls) else []
    facts += ["append-only file"] if told.info.get("aof_enabled") else []
    facts += ["noeviction"] if told.info.get("maxmemory_policy") == "noeviction" else []
    return facts + more


def _unverified(tls: Mapping[str, str]) -> str:
    """The parameter that gives the check of a server's certificate away."""
    return next((f"{name}={words[1]}" for name, words in WORDS.items() if tls[name] == words[1]), "")


def _about_tls(told: Told) -> list[Finding]:
    parameter = _unverified(told.server.address.tls or dict.fromkeys(WORDS, ""))
    if not parameter:
        return []
    text = f"{parameter}: anybody in between may pretend to be it"
    return [_fault(told, YELLOW, text, "give ssl_ca_certs instead, and a certificate with its host name")]


def _distance(told: Told) -> list[Finding]:
    if told.trip > TOO_FAR:
        text = f"it answers in {told.trip:.1f} s: what comes after a second counts as no answer"
        return [_fault(told, RED, text, "use a server that is nearer")]
    if told.trip > FAR:
        text = f"it answers in {told.trip * 1000:.0f} ms: each run starts several of these later"
        return [_fault(told, YELLOW, text, "use a server that is nearer")]
    return []


def _about_info(told: Told, alone: bool) -> list[Finding]:
    if not told.info:
        if "info" in told.rights.commands:  # said there
            return []
        return [_fault(told, YELLOW, "it refuses INFO: how it keeps its data can't be told", "ask who runs it")]
    return [*_state(told), *_persistence(told, alone), *_memory(told)]


def _state(told: Told) -> list[Finding]:
    info, found = told.info, []
    name, version = _version(info)
    if version < TESTED:
        found.append(_fault(told, YELLOW, f"{name} was not tested", "use 6.2 or later"))
    if info.get("role") == "slave" and not told.server.slots:
        master = f"{info.get('master_host')}:{info.get('master_port')}"
        text = "it is a replica: every write is answered READONLY"
        found.append(_fault(told, RED, text, f"name its master, {master}, instead"))
    if info.get("loading"):
        found.append(_fault(told, RED, "it is loading its data", "wait until it has"))
    return found


def _persistence(told: Told, alone: bool) -> list[Finding]:
    found = []
    for name, what in (("aof_last_write_status", "append-only file"), ("rdb_last_bgsave_status", "last snapshot")):
        if told.info.get(name, "ok") != "ok":
            text = f"its {what} could not be written: writes are answered MISCONF"
            found.append(_fault(told, RED, text, REFUSALS["MISCONF"]))
    if not told.info.get("aof_enabled"):
        text = "no append-only file: a restart makes it forget, and it does not count until the next run"
        if alone:
            text = "no append-only file: a restart makes it forget ticks and leases, and no other server knows them"
        found.append(_fault(told, YELLOW, text, "CONFIG SET appendonly yes, and in its file"))
    elif alone and told.fsync != "always":
        text = f"appendfsync is {told.fsync}: when its machine loses power it forgets the newest runs"
        found.append(_fault(told, YELLOW, text, "CONFIG SET appendfsync always, and in its file"))
    return found


def _memory(told: Told) -> list[Finding]:
    found = []
    policy = told.info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        text = f"maxmemory-policy is {policy}: it may evict a lease"
        found.append(_fault(told, RED, text, "CONFIG SET maxmemory-policy noeviction, and in its file"))
    used, most = told.info.get("used_memory", 0), told.info.get("maxmemory", 0)
    if most and used >= most:
        found.append(_fault(told, RED, "its memory is full: writes are answered OOM", REFUSALS["OOM"]))
    elif most and used > FULL * most:
        text = f"its memory is full to {100 * used / most:.0f} %"
        found.append(_fault(told, YELLOW, text, REFUSALS["OOM"]))
    return found


def _version(info: Mapping[str, Any]) -> tuple[str, tuple[int, ...]]:
    name = "valkey" if "valkey_version" in info else "redis"
    version = str(info.get(f"{name}_version", "0"))
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    return f"{name} {version}", numbers


def clocks(ahead: Mapping[str, float]) -> list[Finding]:
    """The servers' clocks against this machine's and against each other; by label, in s."""
    off = {label: seconds for label, seconds in ahead.items() if abs(seconds) >= CLOCK_OFF}
    spread = max(ahead.values(), default=0) - min(ahead.values(), default=0)
    several = len(ahead) > 1
    if several and len(off) == len(ahead) and spread < CLOCK_OFF:
        seconds = -statistics.median(off.values())
        text = f"its clock is {_off(seconds)} all {len(ahead)} servers'{_beyond(seconds, 'this node is refused')}"
        return [Finding(VOTERS, _level(seconds), "this machine", text, "set it, by NTP")]
    refused = sum(_level(seconds) == RED for seconds in off.values()) >= quorum(len(ahead))
    beyond = "such a voter does not vote" if several and not refused else "this node is refused"
    todo = "set it, by NTP" if several else "set the one that is wrong, by NTP"
    findings = []
    for label, seconds in off.items():
        text = f"its clock is {_off(seconds)} this machine's{_beyond(seconds, beyond)}"
        findings.append(Finding(VOTERS, _level(seconds), label, text, todo))
    if several and not findings:
        level = _level(spread) if spread >= CLOCK_OFF else GREEN
        text = f"they differ by {_length(spread)} at most"
        findings.append(Finding(VOTERS, level, "the clocks", text, "" if level == GREEN else "set them, by NTP"))
    return findings


def _level(seconds: float) -> str:
    return RED if abs(seconds) * 1000 >= CLOCK_LIMIT else YELLOW


def _off(seconds: float) -> str:
    return f"{_length(abs(seconds))} {'ahead of' if seconds > 0 else 'behind'}"


def _length(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _beyond(seconds: float, what: str) -> str:
    return f": beyond 60 s {what}" if _level(seconds) == RED else ": turns are not fair then"


def twins(all_told: Sequence[Told]) -> list[Finding]:
    """Servers that several URLs lead to."""
    by_id: dict[str, list[str]] = {}
    for told in all_told:
        if told.info.get("run_id"):
            by_id.setdefault(str(told.info["run_id"]), []).append(told.label)
    return [
        Finding(VOTERS, RED, labels[0], f"it is the same server as {', '.join(labels[1:])}", "name each server once")
        for labels in by_id.values()
        if len(labels) > 1
    ]


def coverage(found: Servers, all_told: Sequence[Told]) -> list[Finding]:
    """Whether the death of a master without a replica would take all the others with it; asked of one that answers."""
    bare = [master for master in found.all if not master.replicas]
    if not bare or not all_told:
        return []
    labels = ", ".join(master.label for master in bare)
    one = all_told[0].server
    try:
        value = one.client.config_get(COVERAGE).get(COVERAGE)
    except (redis.RedisError, OSError):
        user = one.address.username or "default"
        text = f"no replica for {labels}, and {COVERAGE} can't be told"
        return [Finding(VOTERS, YELLOW, "cluster", text, f"ACL SETUSER {user} +config|get, or give it a replica")]
    if value != "yes":
        return []
    text = f"no replica for {labels}, and {COVERAGE} is yes: its death takes all masters with it"
    return [Finding(VOTERS, YELLOW, "cluster", text, f"give it a replica, or CONFIG SET {COVERAGE} no on all")]


def local() -> Finding:
    """The voter in a file: whether its folder can be written to."""
    try:
        folder = state_directory()
    except Refused as error:
        text, _, todo = str(error).removeprefix("--local ").rpartition(": ")
        return Finding(VOTERS, RED, "--local", text, todo)
    there = folder
    while not os.path.exists(there):
        there = os.path.dirname(there)
    if there == folder and os.path.isdir(there) and (reason := distrust(there)):
        text, _, todo = reason.partition(": ")
        return Finding(VOTERS, RED, folder, text, todo)
    if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
        return Finding(VOTERS, RED, folder, f"{there} can't be written to", "let this user write there")
    if not os.statvfs(there).f_bavail:
        return Finding(VOTERS, RED, folder, "no space is left there", "make some")
    return Finding(VOTERS, GREEN, folder, "one voter for this machine alone, in files that can be written to")


def named(settings: Settings, found: Servers) -> set[str]:
    """The labels of all servers that were looked at."""
    return {address.label for address in settings.redis} | {
        label for server in found.all for label in (server.label, *server.replicas)
    }
