"""Crontab lines that use cronlock: what each run would do, and what would prevent it."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any, TypeVar

from cronlock.commands.check import cron_path, line_times, readability
from cronlock.commands.check.accounts import account_of, own_account, switched_user
from cronlock.commands.check.findings import GREEN, LINES, RED, YELLOW, Finding
from cronlock.commands.check.intervals import find_left_out_ticks
from cronlock.commands.check.rest_of_line import fault_of_rest
from cronlock.commands.check.shown_passwords import find_shown_passwords
from cronlock.commands.option_faults import option_fault
from cronlock.config.options import BY_NAME, OPTIONS, spell
from cronlock.config.settings import COMMAND_LINE, Settings, load
from cronlock.config.suggested_command import public_url
from cronlock.cron.crontab import LISTING, Sources, refuse_differing
from cronlock.cron.explanation import in_words
from cronlock.cron.parser import Line, belongs
from cronlock.cron.schedule import Schedule
from cronlock.errors import Refused
from cronlock.messages import instant
from cronlock.run.plan import NO_SCHEDULE, NONE, lease_length, make_plan

T = TypeVar("T")

UPCOMING = 3
LOCAL = "a local file"  # the label of the voter of --local
USER_TIME = 5.0  # s for the lines of one user: without a limit a user could keep root's check busy for hours
REASON_MAX = 300  # characters of a reason: it may quote what another user wrote
GROUP_MAX = 30  # lines of one key that are compared with each other
UNKNOWN_NODE = "node"  # in the place of a name that only a shell can expand


@dataclass
class LineUse:
    """A line and the settings of its run; `needs_shell`: word on the line that only a shell can expand -> option.

    `switch` is the program in front of cronlock that starts it as another user, `user` that user, or the line's own.
    """

    line: Line
    settings: Settings
    needs_shell: dict[str, str]
    switch: str
    user: str

    @property
    def environ(self) -> dict[str, str]:
        return _known(self.line.variables)


class UserTimeBudget:
    """The time spent on each user's lines; the caller's own lines and the system's have no limit."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}
        self.ended: dict[str, Line] = {}  # owner -> the first line that was not checked

    def run_within(self, line: Line, job: Callable[..., list[T]], *words: object) -> list[T]:
        """Return what the job does, or nothing when the line's owner has used up the time."""
        if line.owner and self._spent.get(line.owner, 0.0) > USER_TIME:
            self.ended.setdefault(line.owner, line)
            return []
        begun = time.monotonic()
        try:
            return job(*words)
        finally:
            self._spent[line.owner] = self._spent.get(line.owner, 0.0) + time.monotonic() - begun


def find_line_faults(lines: Sequence[Line], sources: Sources, checked: set[str], now: float) -> list[Finding]:
    """Return the findings about all lines, in their order."""
    findings: list[Finding] = []
    uses: list[LineUse] = []
    budget = UserTimeBudget()
    for line in lines:
        try:
            uses += budget.run_within(line, _use_of, line, sources.root)
        except Refused as error:
            findings.append(_describe_refusal(line, error))
    readers = readability.Readers(sources)
    for use in uses:
        findings += budget.run_within(use.line, _check_line, use, lines, checked, now, readers)
        findings += budget.run_within(use.line, _find_traps, use, sources.cron)
    findings += _find_shared_ticks(uses, now, budget)
    for line in budget.ended.values():
        text = f"the lines of {line.owner} take too long to check: from this line on, not all were checked"
        findings.append(Finding(LINES, YELLOW, line.place, text, "as that user, run: cronlock check"))
    findings += _find_keys_in_both_modes(uses) + find_shown_passwords(lines)
    places = {line.place: number for number, line in enumerate(lines)}
    findings = sorted(dict.fromkeys(findings), key=lambda finding: places[finding.about])
    return [*findings, *readers.findings()]


def _use_of(line: Line, root: str) -> list[LineUse]:
    """Return the one use of a line. Raises Refused for what `cronlock run` refuses before it has a plan."""
    if fault := option_fault(line.words):
        raise Refused(fault)
    needs_shell = {BY_NAME[name].flags[-1]: name for name, value in line.given.items() if value is None}
    needs_shell |= _variables_for_the_shell(line)
    given: dict[str, Any] = {name: value for name, value in line.given.items() if value is not None}
    if not given.get("config", "/").startswith("/"):  # relative to a folder that only its shell knows
        needs_shell["--config"] = "config"
        del given["config"]
    if "node" in needs_shell.values():
        given["node"] = UNKNOWN_NODE
    environ = _known(line.variables)
    switch, target = switched_user(line.front, line.script)
    target = "" if "$" in target or "`" in target else target
    account = account_of(target) if target else None
    user = account.name if account else target or line.user
    home = (not target and environ.get("HOME")) or _home(user)
    own = os.path.join(home, ".config/cronlock.toml")
    files = [own] if os.path.exists(own) else []  # False also when this user may not read that home
    settings = load(given, environ, [*files, os.path.join(root, "etc/cronlock.toml")], _uid(user))
    return [LineUse(line, settings, needs_shell, switch if target else "", user)]


def _variables_for_the_shell(line: Line) -> dict[str, str]:
    unknown = [name for name, value in line.variables.items() if value is None]
    options = {option.variable: option.name for option in OPTIONS if option.name not in line.given}
    return {name: options.get(name, "redis") for name in unknown if name in options or name.startswith("REDIS_")}


def _known(variables: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if value is not None}


def _home(user: str) -> str:
    try:
        return pwd.getpwnam(user).pw_dir
    except (KeyError, ValueError):
        return os.path.expanduser("~")


def _uid(user: str) -> int:
    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):  # crontab -l
        return os.geteuid()


def _describe_refusal(line: Line, error: Refused) -> Finding:
    reason = str(error)
    reason = reason if len(reason) <= REASON_MAX else f"{reason[:REASON_MAX]}..."
    return Finding(LINES, RED, line.place, f"it would be refused: {reason}")


def _check_line(
    use: LineUse, lines: Sequence[Line], checked: set[str], now: float, readers: readability.Readers
) -> list[Finding]:
    """Return a summary of the line's run, and its voters if they have not been checked."""
    findings = []
    if use.needs_shell:
        what = ", ".join(use.needs_shell)
        text = f"{what} needs a shell to expand it"
        findings.append(Finding(LINES, YELLOW, use.line.place, text, "run the line by hand with --dry-run"))
    needs_shell = set(use.needs_shell.values())
    if not {"key", "config", "once", "each", "schedule", "tick"} & needs_shell:
        try:
            findings.append(_describe_run(use, lines, now, readers))
        except Refused as error:
            findings.append(_describe_refusal(use.line, error))
    if not {"redis", "local", "config"} & needs_shell:
        findings += _find_unchecked_servers(use, checked)
    return findings


def _find_traps(use: LineUse, cron: str) -> list[Finding]:
    """Return what around cronlock on the line would not do what the line says."""
    line, settings = use.line, use.settings
    account = account_of(use.user) if use.user else own_account()
    found = cron_path.find_missing_programs(line) + cron_path.find_missing_paths(line)
    found += cron_path.find_closed_programs(line, account)
    if not settings.each:
        text, todo = fault_of_rest(line.script, settings.conflict_exit_code, local=settings.local)
        found += [Finding(LINES, YELLOW, line.place, text, todo)] if text else []
    if line.ticks and settings.tz and "schedule" not in line.given and "tz" not in use.needs_shell.values():
        found += line_times.find_other_zone(line.place, line.fields, settings.tz, line_times.zone_of_cron(line, cron))
    return found


def _find_shared_ticks(uses: Sequence[LineUse], now: float, budget: UserTimeBudget) -> list[Finding]:
    """Return findings about lines whose ticks another line of the key takes, or that leave ticks out."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for use in uses:
        if use.settings.key and use.line.ticks and not use.settings.tick and "key" not in use.needs_shell.values():
            groups.setdefault((use.settings.key, use.settings.mode), []).append(use.line)
    found: list[Finding] = []
    for group in groups.values():
        for line in group:
            others = [other for other in group if other.owner in ("", line.owner)]  # no other user costs this one time
            # with @every each start of several lines in one minute finds its own interval
            if len(others) <= GROUP_MAX and not line.fields.startswith("@every"):
                found += budget.run_within(line, line_times.find_line_without_ticks, line, others, now)
            if len(others) == 1:  # of several, one may sleep before it starts cronlock
                found += budget.run_within(line, find_left_out_ticks, line, now)
    return found


def _describe_run(use: LineUse, lines: Sequence[Line], now: float, readers: readability.Readers) -> Finding:
    """Return the summary that `run --dry-run` prints. Raises Refused as `run` does."""
    settings, place = use.settings, use.line.place
    ask_lines = bool(settings.key) and not settings.schedule and not settings.tick
    own = _own_lines(use, lines, readers) if ask_lines else []
    hidden = ask_lines and use.switch and use.line.ticks and not own
    if ask_lines:  # what run/plan.py would search the crontabs of the machine for
        settings.schedule, settings.sources["schedule"] = (own[0].fields if own else NONE), place
        settings.tz = settings.tz or (own[0].zone if own else None)
    plan = make_plan(settings, now, use.environ)
    front = f"{plan.key} ({settings.mode}): "
    if not plan.schedule:
        text = f"{front}no ticks, only overlap is prevented; lease {spell(plan.lease_at(0))}"
        if hidden:
            text = f"{front}{use.switch} starts it as {use.user}, who can't see this crontab: no ticks"
            todo = f"pass --schedule '{use.line.fields}', or move the line to /etc/cron.d with {use.user} as its user"
            return Finding(LINES, YELLOW, place, text, todo)
        if ask_lines and (settings.once or settings.each or settings.again or settings.start_within):
            return Finding(LINES, YELLOW, place, text, NO_SCHEDULE.partition("; ")[2])
        return Finding(LINES, GREEN, place, text)
    schedule = Schedule([line.fields for line in own], settings.tz or "") if own else plan.schedule
    ticks = schedule.upcoming(schedule.tick(now), UPCOMING)
    lease = lease_length(ticks[1], ticks[0] * 1000, plan.ttl) // 1000 * 1000  # of the next run, at its start
    words = in_words(schedule.text)
    zone = f"{schedule.zone}: {words[:1].lower()}{words[1:]}" if words else schedule.zone
    text = f"{front}{schedule.text} ({zone}), next {', '.join(map(instant, ticks))}; lease {spell(lease)}"
    return Finding(LINES, GREEN, place, text)


def _own_lines(use: LineUse, lines: Sequence[Line], readers: readability.Readers) -> list[Line]:
    """Return the lines that give the key its ticks, as this run sees them.

    Raises Refused when they differ, or when the run can read none of them.
    """
    settings = use.settings
    default = "once" if settings.source("each") == COMMAND_LINE else settings.mode
    seen = [line for line in lines if _sees(use, line)]
    own = [line for line in seen if belongs(line, settings.key, settings.mode, default)]
    own = readers.readable(own, use.user, use.line.fields)
    refuse_differing(settings.key, own)
    return own


def _sees(use: LineUse, line: Line) -> bool:
    """Return whether the run of a line searches the crontab of another line; files of the system's are for all."""
    if not use.switch:
        return line.owner in ("", use.line.user)
    if not line.owner and line.source != LISTING:
        return True
    owner, account = line.owner or own_account().name, account_of(use.user)
    by_sudo = use.switch in ("sudo", "doas") and account is not None and not account.uid
    return owner == use.user or (by_sudo and owner == (use.line.user or own_account().name))


def _find_unchecked_servers(use: LineUse, checked: set[str]) -> list[Finding]:
    settings = use.settings
    if settings.local:
        labels, flags = [LOCAL], "--local"
    elif settings.redis:
        labels = [address.label for address in settings.redis]
        flags = " ".join(f"--redis {quote(public_url(address))}" for address in settings.redis)
    else:
        text = "no Redis server is configured: every run is refused"
        todo = "set CRONLOCK_REDIS in the crontab, or redis in /etc/cronlock.toml"
        return [Finding(LINES, RED, use.line.place, text, todo)]
    if set(labels) <= checked:
        return []
    text = f"uses different servers from those checked above: {', '.join(labels)}"
    return [Finding(LINES, YELLOW, use.line.place, text, f"cronlock check {flags}")]


def _find_keys_in_both_modes(uses: Sequence[LineUse]) -> list[Finding]:
    """Return a finding for each key that is used with --once and with --each."""
    places: dict[str, dict[str, Line]] = {}
    for use in uses:
        if use.settings.key:
            places.setdefault(use.settings.key, {}).setdefault(use.settings.mode, use.line)
    return [
        Finding(
            LINES,
            YELLOW,
            modes["each"].place,
            f"key {key} is used with --each here and with --once at {modes['once'].place}: their "
            "records are separate, so they do not exclude each other",
            "give each its own key",
        )
        for key, modes in places.items()
        if len(modes) > 1
    ]
