"""What the records of the keys tell of their nodes: whether these agree, and whether runs are missing."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from cronlock.commands.check.findings import GREEN, KEYS, RED, YELLOW, Finding
from cronlock.config.settings import Settings
from cronlock.errors import CronlockError
from cronlock.lock.future_ticks import distance
from cronlock.lock.protocol import is_future_tick
from cronlock.lock.refusals import record_words
from cronlock.survey.clients import Servers
from cronlock.survey.copies import newest_copy
from cronlock.survey.key_status import KeyStatus
from cronlock.survey.report import all_statuses
from cronlock.survey.survey import Survey

SAME_LINE = "give all nodes the same line"
OTHER_VOTERS = "mend --redis, or when it is the new list, and other nodes have it: cronlock adopt --all"


@dataclass
class Known:
    """All keys, with what one voter knows of their nodes, and the copies that tell it."""

    survey: Survey
    found: list[KeyStatus]

    @property
    def sure(self) -> bool:
        """Whether all voters told: what one that is missing knows may be what makes the difference."""
        return not self.survey.missing

    @property
    def keys(self) -> list[str]:
        return sorted({one.key for one in self.found})


def known(settings: Settings, servers: Servers | None = None) -> Known | None:
    """None when too few voters could tell. `servers`: those to ask, where they are known."""
    try:
        survey = Survey(settings, heads=True, found=servers)
        survey.read_newest(newest_copy)
    except CronlockError:
        return None
    return Known(survey, all_statuses(survey))


def look(known: Known | None, *, barred: bool = False) -> list[Finding]:
    """The findings about these keys. `barred`: the user may not ask for their names."""
    if known is None or not known.sure:
        while_ = "this user lacks +scan" if barred else "a voter is missing"
        text = f"which keys there are can't be told while {while_}"
        todo = "the line above tells how to give it" if barred else "cronlock status shows what the others know"
        return [Finding(KEYS, YELLOW, "keys", text, todo)]
    findings = []
    for one in known.found:
        findings += _of_a_future(known.survey, one)
        findings += [Finding(KEYS, RED, one.name, text, SAME_LINE) for text in one.differences]
        if one.foreign_voters:
            findings.append(Finding(KEYS, RED, one.name, one.foreign_voters, OTHER_VOTERS))
        if one.paused and not one.each:
            text = f"paused by {one.pause_by}, {one.pause_text}"
            findings.append(Finding(KEYS, YELLOW, one.name, text, f"cronlock resume {one.key}"))
        if one.impossible_token:
            findings.append(
                Finding(KEYS, RED, one.name, one.impossible_token, f"cronlock adopt {record_words(one.key, one.each)}")
            )
        others = [
            text for text in one.problems if text not in (*one.differences, one.foreign_voters, one.impossible_token)
        ]
        findings += [Finding(KEYS, YELLOW, one.name, text, f"cronlock status {one.key}") for text in others]
    if not any(finding.level == RED for finding in findings):
        count = len(known.keys)
        text = f"{count} known: their nodes agree on schedules and commands" if count else "none is known yet"
        findings.append(Finding(KEYS, GREEN, "keys", text))
    return findings


def _of_a_future(survey: Survey, one: KeyStatus) -> list[Finding]:
    """Red where the newest tick is further ahead of the voter's clock than any node may name it."""
    seen = newest_copy(survey.records[one.key, one.each])
    if not is_future_tick(seen.get("tick"), seen.time):
        return []
    text = f"its newest tick is {distance(seen.get('tick'), seen.time)} of the voter's clock: a clock was wrong, or is"
    return [
        Finding(KEYS, RED, one.name, text, f"set the clock that is wrong, then cronlock forget {shlex.quote(one.key)}")
    ]
