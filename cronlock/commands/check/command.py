"""`cronlock check`: what is wrong, before it goes wrong: voters, placement, and the crontab lines of this machine."""

from __future__ import annotations

import redis

from cronlock.config import Settings, has_password, load
from cronlock.crontab import Sources
from cronlock.lock import NOWHERE
from cronlock.people import (
    countchecks,
    cronchecks,
    keychecks,
    linechecks,
    namechecks,
    placement,
    sentinelchecks,
    voterchecks,
)
from cronlock.people.call import Call
from cronlock.people.cronpath import path_of_cron
from cronlock.people.findings import RED, VOTERS, YELLOW, Finding, print_json, print_table, worst
from cronlock.people.servers import Server, Servers, find
from cronlock.people.standing import off
from cronlock.people.voterchecks import Told
from cronlock.say import ELSEWHERE, IN_ARGV

SOMETHING_IS_RED = 1  # the exit status


def check(call: Call) -> int:
    """Look at everything and print it; 1 when a finding is red."""
    settings = load(call.given, call.environ)
    findings = (
        [Finding(VOTERS, YELLOW, "--redis", IN_ARGV, ELSEWHERE)] if has_password(call.given.get("redis", ())) else []
    )
    findings += look(settings, Sources())
    (print_json if call.wishes.get("format") == "json" else print_table)(findings)
    return SOMETHING_IS_RED if worst(findings) == RED else 0


def look(settings: Settings, sources: Sources) -> list[Finding]:
    """All findings, in the order in which they are printed."""
    about_voters, checked = _voters(settings)
    return [*about_voters, *cronchecks.look(sources, checked, path_of_cron(sources.cron))]


def _voters(settings: Settings) -> tuple[list[Finding], set[str]]:
    """The findings, and the labels of what was looked at."""
    if settings.local:
        return [voterchecks.local(), *keychecks.look(keychecks.known(settings))], {linechecks.LOCAL}
    if not settings.redis:
        advice = NOWHERE.partition("? ")[2]
        return [Finding(VOTERS, RED, "none", "nobody says where Redis is", advice)], set()
    found = find(settings, twice=True)
    failures, all_told = _ask(settings, found)
    clocks = {told.label: told.ahead for told in all_told if told.ahead is not None}
    twice = _named_twice(settings)
    known = None if twice else keychecks.known(settings, Servers(found.cluster, found.all, found.failures | failures))
    counts = countchecks.count(known.survey) if known else countchecks.Counts()
    alone = len(settings.redis) == 1 and not found.cluster
    findings = [finding for told in all_told for finding in voterchecks.judge(told, alone)]
    findings += [_silent(label, error, found) for label, error in failures.items()]
    findings += voterchecks.clocks(clocks)
    findings += twice + voterchecks.twins(all_told) + countchecks.look(counts)
    if found.cluster:
        findings += voterchecks.coverage(found, all_told)
        keys = known.keys if known and known.sure else None
        findings += placement.of_cluster(found.all, keys, counts.stops, counts.todo)
        missing = sum(master.label in failures for master in found.all)
        findings += placement.of_fewer_masters(len(found.all), missing, len(off(clocks)))
    else:
        findings += namechecks.look(settings.redis)
        served = [address for address in settings.redis if address.sentinels]
        findings += [finding for address in served for finding in sentinelchecks.look(address, all_told)]
        if not (alone and served):  # of one service its sentinels' line tells
            findings += placement.of_servers(len(settings.redis), len(failures), len(off(clocks)), counts.weak)
    findings += counts.stuck
    findings += keychecks.look(known, barred=any("scan" in told.rights.commands for told in all_told))
    return findings, voterchecks.named(settings, found)


def _ask(settings: Settings, found: Servers) -> tuple[dict[str, Exception], list[Told]]:
    """Why some could not be asked, by label, and what the others told."""
    failures = dict(found.failures)
    asked = [server for server in found.all if server.label not in failures]
    if not found.cluster:  # one that may not tell what it is may tell the rest
        barred = [a for a in settings.redis if isinstance(failures.get(a.label), redis.exceptions.NoPermissionError)]
        asked += [Server(address) for address in barred]
    answers = Servers(found.cluster, asked, {}).ask(lambda server: voterchecks.interview(server, settings.prefix))
    all_told = [answer for answer in answers.values() if isinstance(answer, Told)]
    silent = {label: answer for label, answer in answers.items() if isinstance(answer, Exception)}
    told = {told.label for told in all_told}
    return {label: error for label, error in (failures | silent).items() if label not in told}, all_told


def _silent(label: str, error: Exception, found: Servers) -> Finding:
    finding = voterchecks.silent(label, error)
    if not found.cluster or label in {master.label for master in found.all}:
        return finding
    return Finding(VOTERS, YELLOW, label, f"named, but no master: {finding.text}", "name another node of the cluster")


def _named_twice(settings: Settings) -> list[Finding]:
    labels = [address.label for address in settings.redis]
    return [
        Finding(VOTERS, RED, label, "the same server twice", "name each server once")
        for label in dict.fromkeys(labels)
        if labels.count(label) > 1
    ]
