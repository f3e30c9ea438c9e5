"""`cronlock check`: finds faults before they cost a run, in servers, placement, keys and this machine's crontabs."""

from __future__ import annotations

import redis

from cronlock.commands.check import cron_lines, crontabs, dns, keys, placement, quorum_margin, sentinel, servers
from cronlock.commands.check.blocked_keys import servers_with_wrong_clock
from cronlock.commands.check.clocks import find_clock_faults
from cronlock.commands.check.cron_path import path_of_cron
from cronlock.commands.check.findings import RED, VOTERS, YELLOW, Finding, print_json, print_table, worst
from cronlock.commands.check.servers import ServerFacts
from cronlock.commands.invocation import Invocation
from cronlock.config.settings import Settings, has_password, load
from cronlock.config.suggested_command import location_flags
from cronlock.cron.crontab import Sources
from cronlock.lock.quorum import named_twice
from cronlock.lock.refusals import NAME_ONCE, SAME_SERVER
from cronlock.messages import MOVE_OUT_OF_ARGV, VISIBLE_IN_PS
from cronlock.servers import how_to_configure
from cronlock.survey.clients import Servers, find_servers, named_servers

SOMETHING_IS_RED = 1  # the exit status


def check(invocation: Invocation) -> int:
    """Print all findings; return 1 when one of them is red."""
    settings = load(invocation.given, invocation.environ)
    findings = (
        [Finding(VOTERS, YELLOW, "--redis", VISIBLE_IN_PS, MOVE_OUT_OF_ARGV)]
        if has_password(invocation.given.get("redis", ()))
        else []
    )
    findings += find_all_faults(settings, Sources())
    options = invocation.command_options
    if options.get("format") == "json":
        print_json(findings)
    else:
        print_table(findings, green=bool(options.get("verbose")), wide=bool(options.get("wide")))
    return SOMETHING_IS_RED if worst(findings) == RED else 0


def find_all_faults(settings: Settings, sources: Sources) -> list[Finding]:
    """Return all findings, in the order in which they are printed."""
    voter_findings, checked = _find_voter_faults(settings)
    return [
        *voter_findings,
        *crontabs.find_crontab_faults(sources, checked, path_of_cron(sources.cron)),
    ]


def _find_voter_faults(settings: Settings) -> tuple[list[Finding], set[str]]:
    """Return the findings about voters, placement and keys, and the labels of the servers that were checked."""
    if settings.local:
        local_keys = keys.find_key_faults(keys.survey_keys(settings), location_flags(settings))
        return [servers.find_local_faults(), *local_keys], {cron_lines.LOCAL}
    if not settings.redis:
        return [Finding(VOTERS, RED, "none", "no Redis server is configured", how_to_configure(settings))], set()
    found = find_servers(settings, twice=True)
    failures, all_facts = _interview_all(settings, found)
    clocks = {facts.label: facts.ahead for facts in all_facts if facts.ahead is not None}
    off = len(servers_with_wrong_clock(clocks))
    twice = _find_servers_named_twice(settings)
    known = None
    if not twice:
        known = keys.survey_keys(settings, Servers(found.cluster, found.all, found.failures | failures))
    margins = quorum_margin.measure_margins(known.survey) if known else quorum_margin.QuorumMargins()
    alone = len(settings.redis) == 1 and not found.cluster
    findings = [finding for facts in all_facts for finding in servers.find_server_faults(facts, alone)]
    findings += [_describe_unreachable(label, error, found) for label, error in failures.items()]
    findings += find_clock_faults(clocks)
    findings += twice + servers.find_same_server_twice(all_facts) + quorum_margin.find_amnesic_voters(margins)
    if found.cluster:
        findings += _find_cluster_faults(found, failures, all_facts, known, margins, off)
    else:
        findings += dns.find_ambiguous_names(settings.redis)
        services = [address for address in settings.redis if address.sentinels]
        for address in services:
            findings += sentinel.find_sentinel_faults(address, all_facts)
        if not (alone and services):  # the finding about its sentinels covers a single service
            findings += placement.find_server_placement(
                len(settings.redis), len(failures), off, margins.at_risk, margins.next_runs
            )
    findings += margins.blocked
    scan_denied = any("scan" in facts.rights.commands for facts in all_facts)
    findings += keys.find_key_faults(known, location_flags(settings), scan_denied=scan_denied)
    return findings, servers.checked_labels(settings, found)


def _find_cluster_faults(
    found: Servers,
    failures: dict[str, Exception],
    all_facts: list[ServerFacts],
    known: keys.KeySurvey | None,
    margins: quorum_margin.QuorumMargins,
    off: int,
) -> list[Finding]:
    """Return the findings about a cluster's masters; so many servers are `off`, with a wrong clock."""
    known_keys = known.keys if known and known.complete else None
    missing = sum(master.label in failures for master in found.all)
    return [
        *servers.find_coverage_faults(found, all_facts),
        *placement.find_cluster_placement(found.all, known_keys, margins.lost_with, margins.cure),
        *placement.find_missing_masters(len(found.all), missing, off),
    ]


def _interview_all(settings: Settings, found: Servers) -> tuple[dict[str, Exception], list[ServerFacts]]:
    """Return the errors of the servers that could not be asked, by label, and the facts about the others."""
    failures = dict(found.failures)
    asked = [server for server in found.all if server.label not in failures]
    if not found.cluster:  # a server that refuses to say what it is may answer the other questions
        denied = [a for a in settings.redis if isinstance(failures.get(a.label), redis.exceptions.NoPermissionError)]
        asked += named_servers(denied)
    answers = Servers(found.cluster, asked, {}).ask(lambda server: servers.interview(server, settings.prefix))
    all_facts = [answer for answer in answers.values() if isinstance(answer, ServerFacts)]
    errors = {label: answer for label, answer in answers.items() if isinstance(answer, Exception)}
    answered = {facts.label for facts in all_facts}
    return {label: error for label, error in (failures | errors).items() if label not in answered}, all_facts


def _describe_unreachable(label: str, error: Exception, found: Servers) -> Finding:
    finding = servers.describe_unreachable(label, error)
    if not found.cluster or label in {master.label for master in found.all}:
        return finding
    text = f"named, but not a master: {finding.text}"
    return Finding(VOTERS, YELLOW, label, text, "name another node of the cluster")


def _find_servers_named_twice(settings: Settings) -> list[Finding]:
    return [
        Finding(VOTERS, RED, names[0], SAME_SERVER, NAME_ONCE)
        for names in named_twice((address.label, address.label) for address in settings.redis)
    ]
