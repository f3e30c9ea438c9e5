"""Crontab lines that use cronlock: what each run would do, and what would prevent it."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any, TypeVar

from cronlock.commands.check import cron_path
from cronlock.commands.check.findings import GREEN, LINES, RED, YELLOW, Finding
from cronlock.commands.option_faults import option_fault
from cronlock.config.options import BY_NAME, OPTIONS, spell
from cronlock.config.settings import COMMAND_LINE, READ_BY_OTHERS, Settings, has_password, load
from cronlock.config.suggested_command import public_url
from cronlock.cron.crontab import refuse_differing
from cronlock.cron.parser import Line, belongs
from cronlock.cron.schedule import Schedule
from cronlock.errors import Refused
from cronlock.messages import instant
from cronlock.run.plan import NO_SCHEDULE, NONE, lease_length, make_plan

T = TypeVar("T")

UPCOMING = 3
LOCAL = "a local file"  # the label of the voter of --local
WHERE = ("CRONLOCK_REDIS", "REDIS_")  # how variables begin that may contain a password
USER_TIME = 5.0  # s for the lines of one user: without a limit a user could keep root's check busy for hours
REASON_MAX = 300  # characters of a reason: it may quote what another user wrote
UNKNOWN_NODE = "node"  # in the place of a name that only a shell can expand


@dataclass
class LineUse:
    """A line and the settings of its run; `needs_shell`: word on the line that only a shell can expand -> option."""

    line: Line
    settings: Settings
    needs_shell: dict[str, str]

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


def find_line_faults(lines: Sequence[Line], root: str, checked: set[str], now: float) -> list[Finding]:
    """Return the findings about all lines, in their order. `root` is the folder that contains /etc."""
    findings: list[Finding] = []
    uses: list[LineUse] = []
    budget = UserTimeBudget()
    for line in lines:
        try:
            uses += budget.run_within(line, _use_of, line, root)
        except Refused as error:
            findings.append(_describe_refusal(line, error))
    for use in uses:
        findings += budget.run_within(use.line, _check_line, use, lines, checked, now)
        findings += budget.run_within(use.line, cron_path.find_missing_programs, use.line)
    for line in budget.ended.values():
        text = f"the lines of {line.owner} take too long to check: from this line on, not all were checked"
        findings.append(Finding(LINES, YELLOW, line.place, text, "as that user, run: cronlock check"))
    findings += _find_keys_in_both_modes(uses) + _find_shown_passwords(lines)
    places = {line.place: number for number, line in enumerate(lines)}
    return sorted(findings, key=lambda finding: places[finding.about])


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
    own = os.path.join(environ.get("HOME") or _home(line.user), ".config/cronlock.toml")
    files = [own] if os.path.exists(own) else []  # False also when this user may not read that home
    settings = load(given, environ, [*files, os.path.join(root, "etc/cronlock.toml")], _uid(line.user))
    return [LineUse(line, settings, needs_shell)]


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


def _check_line(use: LineUse, lines: Sequence[Line], checked: set[str], now: float) -> list[Finding]:
    """Return a summary of the line's run, and its voters if they have not been checked."""
    findings = []
    if use.needs_shell:
        what = ", ".join(use.needs_shell)
        text = f"{what} needs a shell to expand it"
        findings.append(Finding(LINES, YELLOW, use.line.place, text, "run the line by hand with --dry-run"))
    needs_shell = set(use.needs_shell.values())
    if not {"key", "config", "once", "each", "schedule", "tick"} & needs_shell:
        try:
            findings.append(_describe_run(use, lines, now))
        except Refused as error:
            findings.append(_describe_refusal(use.line, error))
    if not {"redis", "local", "config"} & needs_shell:
        findings += _find_unchecked_servers(use, checked)
    return findings


def _describe_run(use: LineUse, lines: Sequence[Line], now: float) -> Finding:
    """Return the summary that `run --dry-run` prints. Raises Refused as `run` does."""
    settings, place = use.settings, use.line.place
    ask_lines = bool(settings.key) and not settings.schedule and not settings.tick
    own = _own_lines(settings, use.line, lines) if ask_lines else []
    if ask_lines:  # what run/plan.py would search the crontabs of the machine for
        settings.schedule, settings.sources["schedule"] = (own[0].fields if own else NONE), place
        settings.tz = settings.tz or (own[0].zone if own else None)
    plan = make_plan(settings, now, use.environ)
    front = f"{plan.key} ({settings.mode}): "
    if not plan.schedule:
        text = f"{front}no ticks, only overlap is prevented; lease {spell(plan.lease_at(0))}"
        if ask_lines and (settings.once or settings.each or settings.again or settings.start_within):
            return Finding(LINES, YELLOW, place, text, NO_SCHEDULE.partition("; ")[2])
        return Finding(LINES, GREEN, place, text)
    schedule = Schedule([line.fields for line in own], settings.tz or "") if own else plan.schedule
    ticks = schedule.upcoming(schedule.tick(now), UPCOMING)
    lease = lease_length(ticks[1], ticks[0] * 1000, plan.ttl) // 1000 * 1000  # of the next run, at its start
    text = f"{front}{schedule.text} ({schedule.zone}), next {', '.join(map(instant, ticks))}; lease {spell(lease)}"
    return Finding(LINES, GREEN, place, text)


def _own_lines(settings: Settings, this: Line, lines: Sequence[Line]) -> list[Line]:
    """Return the lines that give the key its ticks, as this line's user sees them. Raises Refused when they differ."""
    default = "once" if settings.source("each") == COMMAND_LINE else settings.mode
    seen = [line for line in lines if line.owner in ("", this.user)]
    own = [line for line in seen if belongs(line, settings.key, settings.mode, default)]
    refuse_differing(settings.key, own)
    return own


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


def _find_shown_passwords(lines: Sequence[Line]) -> list[Finding]:
    """Return a finding for each password that ps shows, and one for each world-readable crontab with a password."""
    findings = []
    reported: set[str] = set()
    for line in lines:
        in_url = has_password(line.given.get("redis", ()))
        in_variables = {name for name, value in line.variables.items() if _holds_password(name, value)}
        in_front = {word.partition("=")[0] for command in line.front for word in command}
        if in_url or in_variables & in_front:
            text = "every user of this machine can see the password on this line with ps"
            findings.append(Finding(LINES, YELLOW, line.place, text, "put it into the user's settings file"))
        if (in_url or in_variables) and line.source not in reported and _read_by_all(line.source):
            reported.add(line.source)
            text = f"{line.source} contains a password and is world-readable"
            findings.append(Finding(LINES, YELLOW, line.place, text, f"chmod o-r {line.source}"))
    return findings


def _holds_password(name: str, value: str | None) -> bool:
    """Return whether a variable contains a password; None is a value that only a shell can expand."""
    if not value:
        return False
    return name == "REDIS_PASSWORD" or (name.startswith(WHERE) and has_password([value]))


def _read_by_all(path: str) -> bool:
    try:
        return bool(os.stat(path).st_mode & READ_BY_OTHERS)
    except OSError:  # crontab -l
        return False


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
