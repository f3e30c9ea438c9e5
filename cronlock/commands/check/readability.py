"""Crontabs that the users of lines may not read: their runs go on by the lines that they can read, or are refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from shlex import quote

from cronlock.commands.check.accounts import EXECUTE, READ, Account, account_of
from cronlock.commands.check.findings import GREEN, LINES, Finding
from cronlock.cron.crontab import CRON_D, CRONTAB, Sources, reads_cron_d_name
from cronlock.cron.parser import Line
from cronlock.errors import Refused


class Readers:
    """The users whose runs search the crontabs of this machine, and the crontabs that they may not read.

    Only root can know: for another user, nothing is found.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._obstacles: dict[str, dict[str, str]] = {}  # user -> path -> what keeps the user from reading it
        self._continue: set[str] = set()  # the users whose runs leave out what they may not read

    def readable(self, lines: list[Line], user: str, fields: str) -> list[Line]:
        """Return the lines that a user's run can read.

        Raises Refused where it can read none and may not read everything. `fields` are those of the run's own line.
        """
        blocked = self._blocked(user)
        found = [line for line in lines if not self._obstacle(line, blocked)]
        if blocked and not found:
            path = lines[0].source if lines else next(iter(blocked))
            reason = self._obstacle(lines[0], blocked) if lines else blocked[path]
            todo = f"let that user read it, or pass --schedule {quote(fields)}"
            raise Refused(f"as {user}, cronlock can't read {path}: {reason}: {todo}")
        if blocked and found:
            self._continue.add(user)
        return found

    def findings(self) -> Iterator[Finding]:
        """Yield a finding for each crontab that runs leave out because they may not read it."""
        paths = dict.fromkeys(path for user in sorted(self._continue) for path in self._obstacles[user])
        for path in paths:
            users = [user for user in sorted(self._continue) if path in self._obstacles[user]]
            reason = self._obstacles[users[0]][path]
            text = f"{reason}: runs of {', '.join(users)} leave it out, and use the lines that they can read"
            yield Finding(LINES, GREEN, path, text)

    def _blocked(self, user: str) -> dict[str, str]:
        if user not in self._obstacles:
            account = account_of(user) if self._sources.uid == 0 and user else None
            self._obstacles[user] = dict(self._obstacles_of(account)) if account and account.uid else {}
        return self._obstacles[user]

    def _obstacles_of(self, account: Account) -> Iterator[tuple[str, str]]:
        root, cron = self._sources.root, self._sources.cron
        folder = os.path.join(root, CRON_D)
        if obstacle := account.obstacle(folder, READ | EXECUTE, root):
            yield folder, obstacle
        names = os.listdir(folder) if os.path.isdir(folder) and not obstacle else []
        files = [f"{CRON_D}/{name}" for name in sorted(names) if reads_cron_d_name(name, cron)]
        for name in (CRONTAB, *files):
            path = os.path.join(root, name)
            if obstacle := account.obstacle(path, READ, root):
                yield path, obstacle

    def _obstacle(self, line: Line, blocked: dict[str, str]) -> str:
        return blocked.get(line.source) or blocked.get(os.path.dirname(line.source), "")
