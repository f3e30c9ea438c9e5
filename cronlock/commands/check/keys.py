"""The records of all keys: nodes that differ in schedule or command, missed runs, pauses, impossible values."""

from __future__ import annotations

from dataclasses import dataclass

from cronlock.commands.check.findings import GREEN, KEYS, RED, YELLOW, Finding
from cronlock.config.settings import Settings
from cronlock.config.suggested_command import suggested_command
from cronlock.errors import CronlockError
from cronlock.lock.future_ticks import distance
from cronlock.lock.protocol import is_future_tick
from cronlock.survey.clients import Servers
from cronlock.survey.copies import newest_copy
from cronlock.survey.key_status import KeyStatus
from cronlock.survey.report import all_statuses, known_statuses
from cronlock.survey.survey import Survey

SAME_LINE = "give all nodes the same line"
OTHER_VOTERS = "correct --redis; if this list is the new one and all nodes have it:"  # then the command


@dataclass
class KeySurvey:
    """All keys with the status of each, as one voter has it, and the copies that were read."""

    survey: Survey
    found: list[KeyStatus]

    @property
    def complete(self) -> bool:
        """True if all voters were read: a missing voter may have the record that matters."""
        return not self.survey.missing

    @property
    def keys(self) -> list[str]:
        return sorted({one.key for one in self.found})


def survey_keys(settings: Settings, servers: Servers | None = None) -> KeySurvey | None:
    """Read all keys; return None when too few voters answer. `servers`: the servers to ask, where they are known."""
    try:
        survey = Survey(settings, heads=True, found=servers)
        survey.read_newest(newest_copy)
    except CronlockError:
        return None
    return KeySurvey(survey, known_statuses(all_statuses(survey)))


def find_key_faults(surveyed: KeySurvey | None, flags: str, *, scan_denied: bool = False) -> list[Finding]:
    """Return the findings about these keys.

    `flags` name the servers on a command line. `scan_denied`: the user may not list the keys.
    """
    if surveyed is None or not surveyed.complete:
        while_ = "this user lacks +scan" if scan_denied else "a voter is missing"
        todo = "run the ACL SETUSER command above"
        if not scan_denied:
            todo = f"run cronlock status {flags}for what the others have"
        return [Finding(KEYS, YELLOW, "keys", f"the keys can't be listed while {while_}", todo)]
    findings = []
    for one in surveyed.found:
        findings += [*_find_future_tick(surveyed.survey, one), *_describe_problems(one, flags)]
    if not any(finding.level == RED for finding in findings):
        count = len(surveyed.keys)
        text = f"{count} known: their nodes agree on schedules and commands" if count else "no key yet"
        findings.append(Finding(KEYS, GREEN, "keys", text))
    return findings


def _describe_problems(one: KeyStatus, flags: str) -> list[Finding]:
    findings = [Finding(KEYS, RED, one.name, text, SAME_LINE) for text in one.differences]
    if one.foreign_voters:
        findings.append(Finding(KEYS, RED, one.name, one.foreign_voters, f"{OTHER_VOTERS} cronlock adopt {flags}--all"))
    if one.paused and not one.each:
        text = f"paused by {one.pause_by}, {one.pause_text}"
        findings.append(Finding(KEYS, YELLOW, one.name, text, suggested_command("resume", flags, one.key)))
    if one.impossible_token:
        adopt = suggested_command("adopt", flags, one.key, one.each)
        findings.append(Finding(KEYS, RED, one.name, one.impossible_token, adopt))
    described = (*one.differences, one.foreign_voters, one.impossible_token, one.failure)  # status shows a failure
    status = suggested_command("status", flags, one.key)
    return findings + [Finding(KEYS, YELLOW, one.name, text, status) for text in one.problems if text not in described]


def _find_future_tick(survey: Survey, one: KeyStatus) -> list[Finding]:
    """Return a finding if the newest tick is further ahead of the voter's clock than a node may ask for."""
    seen = newest_copy(survey.records[one.key, one.each])
    if not is_future_tick(seen.get("tick"), seen.time):
        return []
    text = f"its newest tick is {distance(seen.get('tick'), seen.time)} of the voter's clock: a clock is or was wrong"
    forget = suggested_command("forget", survey.location_flags, one.key, one.each)
    return [Finding(KEYS, RED, one.name, text, f"set the clock that is wrong, then {forget}")]
