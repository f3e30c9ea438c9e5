"""`cronlock check`: what is wrong, before it goes wrong: voters, placement, and the crontab lines of this machine."""

from __future__ import annotations

import redis

from cronlock.commands.check import cron_lines, crontabs, dns, keys, placement, quorum_margin, sentinel, servers
from cronlock.commands.check.blocked_keys import off
from cronlock.commands.check.cron_path import path_of_cron
from cronlock.commands.check.findings import RED, VOTERS, YELLOW, Finding, print_json, print_table, worst
from cronlock.commands.check.servers import Told
from cronlock.commands.invocation import Invocation
from cronlock.config.settings import Settings, has_password, load
from cronlock.cron.crontab import Sources
from cronlock.messages import MOVE_OUT_OF_ARGV, VISIBLE_IN_PS
from cronlock.servers.voters import NOWHERE
from cronlock.survey.clients import Server, Servers, find

SOMETHING_IS_RED = 1  # the exit status


def check(invocation: Invocation) -> int:
    """Look at everything and print it; 1 when a finding is red."""
    settings = load(invocation.given, invocation.environ)
    findings = (
        [Finding(VOTERS, YELLOW, "--redis", VISIBLE_IN_PS, MOVE_OUT_OF_ARGV)]
        if has_password(invocation.given.get("redis", ()))
        else []
    )
    findings += look(settings, Sources())
    (print_json if invocation.command_options.get("format") == "json" else print_table)(findings)
    return SOMETHING_IS_RED if worst(findings) == RED else 0


def look(settings: Settings, sources: Sources) -> list[Finding]:
    """All findings, in the order in which they are printed."""
    about_voters, checked = _voters(settings)
    return [*about_voters, *crontabs.look(sources, checked, path_of_cron(sources.cron))]


def _voters(settings: Settings) -> tuple[list[Finding], set[str]]:
    """The findings, and the labels of what was looked at."""
    if settings.local:
        return [servers.local(), *keys.look(keys.known(settings))], {cron_lines.LOCAL}
    if not settings.redis:
        advice = NOWHERE.partition("? ")[2]
        return [Finding(VOTERS, RED, "none", "nobody says where Redis is", advice)], set()
    found = find(settings, twice=True)
    failures, all_told = _ask(settings, found)
    clocks = {told.label: told.ahead for told in all_told if told.ahead is not None}
    twice = _named_twice(settings)
    known = None if twice else keys.known(settings, Servers(found.cluster, found.all, found.failures | failures))
    counts = quorum_margin.count(known.survey) if known else quorum_margin.Counts()
    alone = len(settings.redis) == 1 and not found.cluster
    findings = [finding for told in all_told for finding in servers.judge(told, alone)]
    findings += [_silent(label, error, found) for label, error in failures.items()]
    findings += servers.clocks(clocks)
    findings += twice + servers.twins(all_told) + quorum_margin.look(counts)
    if found.cluster:
        findings += servers.coverage(found, all_told)
        known_keys = known.keys if known and known.sure else None
        findings += placement.of_cluster(found.all, known_keys, counts.stops, counts.todo)
        missing = sum(master.label in failures for master in found.all)
        findings += placement.of_fewer_masters(len(found.all), missing, len(off(clocks)))
    else:
        findings += dns.look(settings.redis)
        served = [address for address in settings.redis if address.sentinels]
        findings += [finding for address in served for finding in sentinel.look(address, all_told)]
        if not (alone and served):  # of one service its sentinels' line tells
            findings += placement.of_servers(len(settings.redis), len(failures), len(off(clocks)), counts.weak)
    findings += counts.stuck
    findings += keys.look(known, barred=any("scan" in told.rights.commands for told in all_told))
    return findings, servers.named(settings, found)


def _ask(settings: Settings, found: Servers) -> tuple[dict[str, Exception], list[Told]]:
    """Why some could not be asked, by label, and what the others told."""
    failures = dict(found.failures)
    asked = [server for server in found.all if server.label not in failures]
    if not found.cluster:  # one that may not tell what it is may tell the rest
        barred = [a for a in settings.redis if isinstance(failures.get(a.label), redis.exceptions.NoPermissionError)]
        asked += [Server(address) for address in barred]
    answers = Servers(found.cluster, asked, {}).ask(lambda server: servers.interview(server, settings.prefix))
    all_told = [answer for answer in answers.values() if isinstance(answer, Told)]
    silent = {label: answer for label, answer in answers.items() if isinstance(answer, Exception)}
    told = {told.label for told in all_told}
    return {label: error for label, error in (failures | silent).items() if label not in told}, all_told


def _silent(label: str, error: Exception, found: Servers) -> Finding:
    finding = servers.silent(label, error)
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
