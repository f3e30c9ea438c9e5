"""A real terminal with a shell on it: keys go in, what an operator would see comes out."""

import contextlib
import os
import re
import select
import signal
import subprocess
import termios
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support.commands import cronlock_on_path, environment, heir, home, wait_until

PROMPT = "ready> "
BASH = ("bash", "--norc", "--noprofile", "-i")
DASH = ("dash", "-i")
READER = "while read -r line; do echo got=$line; done"
SLEEPER = "exec sleep 100"
PATIENCE = 20.0  # s
SIZE = (24, 200)  # lines and columns; no line that a test types is wrapped
ON_IT = 'exec "$@" <>"$0" >&0 2>&0'  # a session leader gets the first terminal that it opens as its own


class Process(NamedTuple):
    """One line of ps."""

    pid: int
    name: str
    state: str  # T: stopped
    parent: int
    group: int
    session: int
    argv: tuple[str, ...]


def process(pid: int) -> Process | None:
    """A living process."""
    try:
        front, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        argv = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return None
    state, parent, group, session = rest.split()[:4]
    name = front.partition("(")[2]
    words = tuple(argv.rstrip("\0").split("\0"))
    return None if state in "ZX" else Process(pid, name, state, int(parent), int(group), int(session), words)


def stopped(pid: int) -> bool:
    found = process(pid)
    return bool(found and found.state == "T")


class Terminal:
    """A pseudo-terminal whose session leader is `words`, an interactive shell as a rule, started in `home()`.

    Whatever is written to it is read at once by a thread, so that nobody ever waits for a reader.
    """

    def __init__(self, *words: str, env: Mapping[str, str | None] | None = None) -> None:
        self._seen = ""
        self._matched = 0  # how much of it `expect` has gone through
        self._news = threading.Condition()
        self._master, self._line = os.openpty()
        self._end, self._at_end = os.pipe()
        self._closed = False
        self.resize(*SIZE)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        path = cronlock_on_path()
        extra = {"PATH": path, "PS1": PROMPT, "TERM": "dumb", **(env or {})}
        self._leader = subprocess.Popen(
            ["sh", "-c", ON_IT, os.ttyname(self._line), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=home(),
            env=environment(extra),
            start_new_session=True,
        )
        self.pid = self._leader.pid
        heir().tell(f"+pid {self.pid}")

    def _read(self) -> None:
        while self._end not in select.select([self._master, self._end], [], [])[0]:
            data = os.read(self._master, 65536).decode("latin-1")
            with self._news:
                self._seen += data.replace("\r", "")
                self._news.notify_all()

    # -- the keyboard ----------------------------------------------------------------------------------------------

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def enter(self, line: str) -> None:
        self.type(f"{line}\r")

    def ctrl(self, key: str) -> None:
        """Ctrl and a key: C, Z, D or \\."""
        self.type(chr(ord(key) & 0o37))

    def resize(self, lines: int, columns: int) -> None:
        termios.tcsetwinsize(self._master, (lines, columns))

    # -- the screen ------------------------------------------------------------------------------------------------

    def expect(self, pattern: str, timeout: float = PATIENCE) -> re.Match[str]:
        """The first match in what is not matched yet; AssertionError when it does not come in so many seconds."""
        regex = re.compile(pattern, re.MULTILINE | re.DOTALL)
        with self._news:
            if not self._news.wait_for(lambda: regex.search(self._seen, self._matched), timeout):
                raise AssertionError(f"waited {timeout:g} s in vain for {pattern!r}; {self._picture()}")
            match = regex.search(self._seen, self._matched)
            assert match
            self._matched = match.end()
            return match

    def prompt(self, prompt: str = PROMPT) -> str:
        """Waits for the shell's prompt; what stands before it."""
        return self.expect(f"(.*?){re.escape(prompt)}")[1]

    def run(self, line: str, prompt: str = PROMPT) -> str:
        """Return the output of a line in the shell, up to the next prompt."""
        self.enter(line)
        return self.prompt(prompt).partition("\n")[2]

    def _picture(self) -> str:
        rows = "\n".join(map(str, self.processes()))
        return f"foreground {self.foreground()} of leader {self.pid}\n{rows}\nscreen:\n{self._seen}"

    # -- what is behind it -----------------------------------------------------------------------------------------

    def foreground(self) -> int:
        """The process group that gets what is typed."""
        return os.tcgetpgrp(self._master)

    def processes(self) -> list[Process]:
        """All living processes of the session but its leader."""
        found = [process(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()]
        return [one for one in found if one and one.session == self.pid != one.pid]

    def wrapper(self) -> Process:
        """The one cronlock; what it has forked, such as a guard that has no name of its own yet, is its child."""
        ours = [one for one in self.processes() if one.argv[1:3] == ("-m", "cronlock")]
        [found] = [one for one in ours if one.parent not in {other.pid for other in ours}]
        return found

    def left(self) -> bool:
        """Return whether any process of the session still lives."""
        return bool(self.processes() or process(self.pid))

    # -- the end ---------------------------------------------------------------------------------------------------

    def hang_up(self) -> None:
        """The window is closed, or the line is cut."""
        if not self._closed:
            self._closed = True
            os.close(self._at_end)
            self._reader.join()
            for number in (self._end, self._line, self._master):
                os.close(number)

    def close(self) -> None:
        """Ends all processes of the session; the leader, unreaped, keeps its number from becoming another's."""

        def ended() -> bool:
            for one in [*self.processes(), process(self.pid)]:
                if one:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(one.pid, signal.SIGKILL)
            return not self.left()

        try:
            wait_until(ended, message="the end of a session")
        finally:
            self._leader.wait(PATIENCE)
            heir().tell(f"-pid {self.pid}")
            self.hang_up()


def script(name: str, text: str) -> None:
    """A file in the terminals' folder."""
    Path(home(), name).write_text(f"{text}\n")


def command(text: str) -> None:
    """The script `command`, which tells its pid before anything else."""
    script("command", f"echo $$ >pid.new && mv pid.new pid\n{text}")


def command_pid() -> int:
    """The pid of the `command` that was started last."""
    path = home() / "pid"
    wait_until(path.exists, PATIENCE, "the command")
    pid = int(path.read_text())
    path.unlink()
    return pid


def started(terminal: Terminal, text: str, line: str = "cronlock run -- sh command") -> int:
    """The pid of the command that a line runs which is typed at the prompt; after & the next prompt is there."""
    command(text)
    terminal.enter(line)
    if line.endswith("&"):
        terminal.prompt()
    return command_pid()
