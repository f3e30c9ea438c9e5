"""The voters, one by one: reachability, round trip, persistence, memory, TLS and rights."""

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
from cronlock.commands.check.clocks import CLOCK_OFF
from cronlock.commands.check.findings import GREEN, RED, VOTERS, YELLOW, Finding
from cronlock.config.redis_url import VALUES
from cronlock.config.settings import Settings
from cronlock.errors import Refused
from cronlock.lock.local import distrust, state_directory
from cronlock.lock.quorum import named_twice
from cronlock.lock.refusals import NAME_ONCE
from cronlock.servers.error_replies import PROTECTED, cure
from cronlock.survey.clients import TIMEOUT, Insecure, Server, Servers, error_text

ASKED = 5  # requests, of which the median counts
FAR, TOO_FAR = 0.1, 1.0  # s of a round trip: a run starts after two; an answer must come within a second
TESTED = (6, 2)
FULL = 0.9  # of maxmemory
COVERAGE = "cluster-require-full-coverage"


@dataclass
class ServerFacts:
    """The answers of one server. `ahead`: its clock less this machine's, in s; `info` is empty if refused."""

    server: Server
    trip: float = 0.0  # s
    ahead: float | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    fsync: str = "always"  # the value of appendfsync, where CONFIG is allowed
    rights: Rights = field(default_factory=Rights)

    @property
    def label(self) -> str:
        return self.server.label


def interview(server: Server, prefix: str) -> ServerFacts:
    """Ask one server all questions. Raises redis.ConnectionError when it stops answering."""
    facts = ServerFacts(server)
    try:
        trips = [_ask_time(server) for _ in range(ASKED)]
        facts.trip = statistics.median(trip for trip, _ in trips)
        facts.ahead = min(trips)[1]
    except redis.ResponseError:  # facts.rights has the missing right
        pass
    try:
        facts.info = server.client.info()
    except redis.ResponseError:
        pass
    try:
        facts.fsync = str(server.client.config_get("appendfsync").get("appendfsync", "always"))
    except redis.ResponseError:  # no right to it
        pass
    facts.rights = acl.try_commands(server, prefix)
    return facts


def _ask_time(server: Server) -> tuple[float, float]:
    """Return the round trip, and how far the server's clock is ahead of this machine's in the middle of it, in s.

    TIME and not PING, because the guide's user has the right to TIME only.
    """
    wall, begun = time.time(), time.monotonic()
    seconds, microseconds = server.client.time()
    trip = time.monotonic() - begun
    return trip, seconds + microseconds / 1e6 - (wall + trip / 2)


def describe_unreachable(label: str, error: Exception) -> Finding:
    """Return the finding about a server that could not be asked."""
    if isinstance(error, redis.TimeoutError):
        return Finding(VOTERS, RED, label, f"no answer in {TIMEOUT:.0f} s", "check its machine and the network")
    if isinstance(error, redis.AuthenticationError | redis.exceptions.AuthenticationWrongNumberOfArgsError):
        return Finding(VOTERS, RED, label, str(error).rstrip("."), cure("WRONGPASS")[1])
    if isinstance(error, redis.exceptions.NoPermissionError):
        return Finding(VOTERS, RED, label, str(error), "give it the rights that the guide lists (redis.md)")
    if isinstance(error, redis.exceptions.BusyLoadingError):
        return Finding(VOTERS, RED, label, "it is loading its data", cure("LOADING")[1])
    if isinstance(error, redis.ResponseError):
        return Finding(VOTERS, RED, label, f"it answers: {error}", "ask its administrator")
    if isinstance(error, Insecure):
        return Finding(VOTERS, RED, label, error.tls_error.what, error.tls_error.todo or "read its log")
    if isinstance(error.__cause__ or error.__context__, BrokenPipeError | ConnectionResetError):
        # redis-py loses the reply of a server that refuses and closes, as Redis does in protected mode
        return Finding(VOTERS, RED, label, "the server closed the connection", f"if it answers DENIED, {PROTECTED}")
    return Finding(VOTERS, RED, label, error_text(error), "start it, or correct the URL or the network")


def find_server_faults(facts: ServerFacts, alone: bool) -> list[Finding]:
    """Return the findings about one server. `alone`: no other voter remembers what it forgets."""
    faults = [*_find_slow_answers(facts), *_find_unverified_tls(facts), *_find_info_faults(facts, alone)]
    known = " ".join(finding.text for finding in faults)
    for text in facts.rights.refusals:
        code = text.partition(" ")[0]
        if code not in known:
            faults.append(_fault(facts, RED, f"it refuses to write: {text}", cure(code)[1] or "ask its administrator"))
    user = facts.server.address.username or "default"
    lacking = acl.find_missing_rights(facts.label, user, facts.rights)
    faults += lacking
    good = _good_facts(facts, [] if lacking or facts.rights.refusals else ["all rights"])
    return [*([Finding(VOTERS, GREEN, facts.label, ", ".join(good))] if good else []), *faults]


def _fault(facts: ServerFacts, level: str, text: str, todo: str) -> Finding:
    return Finding(VOTERS, level, facts.label, text, todo)


def _good_facts(facts: ServerFacts, more: list[str]) -> list[str]:
    """Return what is in order, for one line."""
    good = [_version(facts.info)[0]] if facts.info else []
    if facts.ahead is not None:
        good += [f"answers in {max(facts.trip * 1000, 0.1):.1f} ms"] if facts.trip <= FAR else []
        good += [f"clock {abs(facts.ahead) * 1000:.0f} ms off"] if abs(facts.ahead) < CLOCK_OFF else []
    tls = facts.server.address.tls
    good += ["TLS"] if tls and not _unverified(tls) else []
    good += ["append-only file"] if facts.info.get("aof_enabled") else []
    good += ["noeviction"] if facts.info.get("maxmemory_policy") == "noeviction" else []
    return good + more


def _unverified(tls: Mapping[str, str]) -> str:
    """Return the parameter that turns the check of a server's certificate off; empty when there is none."""
    return next((f"{name}={words[1]}" for name, words in VALUES.items() if tls[name] == words[1]), "")


def _find_unverified_tls(facts: ServerFacts) -> list[Finding]:
    parameter = _unverified(facts.server.address.tls or dict.fromkeys(VALUES, ""))
    if not parameter:
        return []
    text = f"{parameter}: a host in between can impersonate it"
    return [_fault(facts, YELLOW, text, "pass ssl_ca_certs instead, and give it a certificate with its host name")]


def _find_slow_answers(facts: ServerFacts) -> list[Finding]:
    if facts.trip > TOO_FAR:
        text = f"it answers in {facts.trip:.1f} s: an answer after more than 1 s counts as none"
        return [_fault(facts, RED, text, "use a nearer server")]
    if facts.trip > FAR:
        text = f"it answers in {facts.trip * 1000:.0f} ms: each run starts later by several round trips"
        return [_fault(facts, YELLOW, text, "use a nearer server")]
    return []


def _find_info_faults(facts: ServerFacts, alone: bool) -> list[Finding]:
    if not facts.info:
        if "info" in facts.rights.commands:  # the missing right is a finding of its own
            return []
        return [_fault(facts, YELLOW, "it refuses INFO: its persistence can't be checked", "ask its administrator")]
    return [*_find_state_faults(facts), *_find_persistence_faults(facts, alone), *_find_memory_faults(facts)]


def _find_state_faults(facts: ServerFacts) -> list[Finding]:
    info, found = facts.info, []
    name, version = _version(info)
    if version < TESTED:
        found.append(_fault(facts, YELLOW, f"{name} was not tested", "use 6.2 or later"))
    if info.get("role") == "slave" and not facts.server.slots:
        master = f"{info.get('master_host')}:{info.get('master_port')}"
        text = "it is a replica: every write is answered READONLY"
        found.append(_fault(facts, RED, text, f"name its master, {master}, instead"))
    if info.get("loading"):
        found.append(_fault(facts, RED, "it is loading its data", cure("LOADING")[1]))
    return found


def _find_persistence_faults(facts: ServerFacts, alone: bool) -> list[Finding]:
    found = []
    for name, what in (("aof_last_write_status", "append-only file"), ("rdb_last_bgsave_status", "last snapshot")):
        if facts.info.get(name, "ok") != "ok":
            text = f"its {what} could not be written: writes are answered MISCONF"
            found.append(_fault(facts, RED, text, cure("MISCONF")[1]))
    if not facts.info.get("aof_enabled"):
        text = "no append-only file: after a restart it has no data, and does not count until the next run"
        if alone:
            text = "no append-only file: after a restart it has no ticks and leases, and no other server has them"
        found.append(_fault(facts, YELLOW, text, "CONFIG SET appendonly yes, and in its file"))
    elif alone and facts.fsync != "always":
        text = f"appendfsync is {facts.fsync}: a power failure loses the newest runs"
        found.append(_fault(facts, YELLOW, text, "CONFIG SET appendfsync always, and in its file"))
    return found


def _find_memory_faults(facts: ServerFacts) -> list[Finding]:
    found = []
    policy = facts.info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        text = f"maxmemory-policy is {policy}: it may evict a lease"
        found.append(_fault(facts, RED, text, "CONFIG SET maxmemory-policy noeviction, and in its file"))
    used, most = facts.info.get("used_memory", 0), facts.info.get("maxmemory", 0)
    if most and used >= most:
        found.append(_fault(facts, RED, "its memory is full: writes are answered OOM", cure("OOM")[1]))
    elif most and used > FULL * most:
        text = f"{100 * used / most:.0f} % of its memory is used"
        found.append(_fault(facts, YELLOW, text, cure("OOM")[1]))
    return found


def _version(info: Mapping[str, Any]) -> tuple[str, tuple[int, ...]]:
    name = "valkey" if "valkey_version" in info else "redis"
    version = str(info.get(f"{name}_version", "0"))
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    return f"{name} {version}", numbers


def find_same_server_twice(all_facts: Sequence[ServerFacts]) -> list[Finding]:
    """Return a finding for each server that several URLs lead to."""
    return [
        Finding(VOTERS, RED, labels[0], f"it is the same server as {', '.join(labels[1:])}", NAME_ONCE)
        for labels in named_twice((facts.label, str(facts.info.get("run_id", ""))) for facts in all_facts)
    ]


def find_coverage_faults(found: Servers, all_facts: Sequence[ServerFacts]) -> list[Finding]:
    """Return a finding if the death of a master without a replica would stop all masters."""
    bare = [master for master in found.all if not master.replicas]
    if not bare or not all_facts:
        return []
    labels = ", ".join(master.label for master in bare)
    one = all_facts[0].server
    try:
        value = one.client.config_get(COVERAGE).get(COVERAGE)
    except (redis.RedisError, OSError):
        user = one.address.username or "default"
        text = f"no replica for {labels}, and {COVERAGE} can't be read"
        return [Finding(VOTERS, YELLOW, "cluster", text, f"ACL SETUSER {user} +config|get, or give it a replica")]
    if value != "yes":
        return []
    text = f"no replica for {labels}, and {COVERAGE} is yes: the death of one such master stops all masters"
    return [Finding(VOTERS, YELLOW, "cluster", text, f"give it a replica, or CONFIG SET {COVERAGE} no on all")]


def find_local_faults() -> Finding:
    """Return the finding about the local voter's folder."""
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
        return Finding(VOTERS, RED, folder, f"{there} can't be written to", "give this user the right to write there")
    if not os.statvfs(there).f_bavail:
        return Finding(VOTERS, RED, folder, "the disk is full", "free some space")
    return Finding(VOTERS, GREEN, folder, "one voter, for this machine alone; its files are writable")


def checked_labels(settings: Settings, found: Servers) -> set[str]:
    """Return the labels of all servers that were checked."""
    return {address.label for address in settings.redis} | {
        label for server in found.all for label in (server.label, *server.replicas)
    }
