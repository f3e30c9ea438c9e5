"""The rights of a server's user: each command that cronlock needs is tried, on names that are in no use."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from cronlock.commands.check.findings import RED, VOTERS, YELLOW, Finding
from cronlock.process.event_loop import random_id, sha1
from cronlock.servers.placement import Tags
from cronlock.survey.clients import Server, reply_text

SCRIPT = Path(__file__).parents[2] / "servers" / "scripts" / "rights.lua"
TRIES = 5  # slots of a master: a slot that is moving redirects
MOVING = (redis.exceptions.AskError, redis.exceptions.MovedError, redis.exceptions.TryAgainError)
WITHOUT = {  # optional commands -> what does not work without them
    "info": "a restart or a promotion of the server is not noticed",
    "publish": "waiting nodes poll every few seconds",
    "subscribe": "waiting nodes poll every few seconds",
    "scan": "--all and status can't list keys",
    "lrange": "history can't be read",
    "asking": "a copy does not answer while its slot is moving",
}


@dataclass
class Rights:
    """Failed commands. `commands` and `patterns` as in ACL SETUSER, without sign; `refusals` are other errors."""

    commands: dict[str, None] = field(default_factory=dict)
    patterns: dict[str, None] = field(default_factory=dict)
    refusals: dict[str, None] = field(default_factory=dict)

    def note(self, command: str, text: str, prefix: str) -> None:
        """Sort an error reply into one of the three."""
        text = re.sub(r"^(@user_script: \d+: )?-?", "", text).strip()
        if "channel" in text:
            self.patterns[f"&{prefix}:*"] = None
        elif re.search(r"\bkeys?\b", text) and "access" in text:
            self.patterns[f"~{prefix}:*"] = None
        elif "no permissions" in text or "can't run this command" in text:
            self.commands[command] = None
        else:
            self.refusals[text] = None


def try_commands(server: Server, prefix: str) -> Rights:
    """Try every command that cronlock sends to this server; leave nothing there."""
    rights = Rights()
    client = server.client
    direct: dict[str, Callable[[], object]] = {
        "cluster|slots": lambda: client.execute_command("CLUSTER", "SLOTS"),  # type: ignore[no-untyped-call]
        "scan": lambda: client.scan(count=1),
        "subscribe": lambda: _subscribe(server, prefix),
        "evalsha": lambda: client.evalsha(sha1(SCRIPT.read_bytes()), 0),
    }
    if server.slots:
        direct["asking"] = lambda: client.execute_command("ASKING")  # type: ignore[no-untyped-call]
    for command, attempt in direct.items():
        try:
            attempt()
        except redis.exceptions.NoPermissionError as error:
            rights.note(command, str(error), prefix)
        except redis.ResponseError:  # an error, but the command is allowed
            pass
    try:
        failed = _eval(server, prefix)
    except redis.ResponseError as error:
        rights.note("eval", reply_text(error), prefix)
    else:
        for command, text in zip(failed[::2], failed[1::2], strict=True):
            rights.note(_text(command).lower(), _text(text), prefix)
    return rights


def _eval(server: Server, prefix: str) -> list[Any]:
    """Return the script's answer from the first of the server's slots that is not moving."""
    slots = [slot for part in server.slots for slot in part][:TRIES] or [0]
    while True:
        names = _names(prefix, slots.pop(0))
        try:
            answer: Any = server.client.eval(SCRIPT.read_text(), len(names), *names)
        except MOVING:
            if slots:
                continue
            raise
        return answer if isinstance(answer, list) else []


def _names(prefix: str, slot: int) -> list[str]:
    front = f"{prefix}:{{{Tags().of(slot).decode()}}}:check:{random_id()}"
    return [f"{front}:hash", f"{front}:list", f"{front}:set"]


def _subscribe(server: Server, prefix: str) -> None:
    listener = server.client.pubsub()  # type: ignore[no-untyped-call]
    try:
        listener.subscribe(_names(prefix, 0)[0])
        listener.get_message(timeout=1)
    finally:
        listener.close()


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def find_missing_rights(label: str, user: str, rights: Rights) -> list[Finding]:
    """Return the missing rights, with the command that an administrator types."""
    needed = [f"+{command}" for command in rights.commands if command not in WITHOUT]
    needed += [pattern for pattern in rights.patterns if pattern[0] == "~"]
    wanted = [f"+{command}" for command in rights.commands if command in WITHOUT]
    wanted += [pattern for pattern in rights.patterns if pattern[0] == "&"]
    reasons = [WITHOUT[command] for command in rights.commands if command in WITHOUT]
    reasons += [WITHOUT["publish"] for pattern in rights.patterns if pattern[0] == "&"]
    findings = []
    if needed:
        text = f"user {user} lacks {' '.join(needed)}: no run starts"
        findings.append(Finding(VOTERS, RED, label, text, f"ACL SETUSER {user} {' '.join(needed)}"))
    if wanted:
        text = f"user {user} lacks {' '.join(wanted)}: {', '.join(dict.fromkeys(reasons))}"
        findings.append(Finding(VOTERS, YELLOW, label, text, f"ACL SETUSER {user} {' '.join(wanted)}"))
    return findings
