"""Processes of tests: cronlock itself, in a clean environment, and the promise that nothing outlives the tests."""

import atexit
import contextlib
import functools
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tests.support.processes import bearing, descendants, stat_of

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 30.0  # s: a cronlock that hangs fails its test well before pytest's own limit
FAREWELL = 3.0  # s between SIGTERM and SIGKILL for a process that a test left behind

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T], timeout: float = 10, message: str = "the condition", interval: float = 0.01
) -> T:
    """Return the value of `condition` as soon as it is true; ask every `interval` seconds, at least once.

    Raises AssertionError when `timeout` seconds have passed.
    """
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for {message}; the last answer was {answer!r}")
        time.sleep(interval)
    return answer


FAKETIME = next((str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), "")


def faked_clock(**how: str) -> dict[str, str]:
    """The environment of a process whose wall clock is faked; its other clocks are right. FAKETIME="+20s", say."""
    assert FAKETIME, "install the Debian package faketime"
    return {"LD_PRELOAD": FAKETIME, "FAKETIME_DONT_FAKE_MONOTONIC": "1", **how}


def changed_cronlock(folder: Path, name: str, old: str, new: str) -> dict[str, str]:
    """The environment of Python with a cronlock that is changed in one place of one file; it is put into `folder`."""
    shutil.copytree(ROOT / "cronlock", folder / "cronlock", ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "cronlock" / name
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return {"PYTHONPATH": str(folder)}


def between(path: Path, begin: str, end: str, text: str) -> None:
    """Puts a text between two lines of a file, in place of what was there."""
    before, found, rest = path.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    assert found, f"{path} has no {begin}"
    assert ended, f"{path} has no {end}"
    path.write_text(f"{before}{begin}{text}\n{end}{after}")


class Heir:
    """A process that outlives this one, however it dies, to end the processes and remove the folders it left."""

    WILL = """
import os, shutil, sys
left = set()
for line in sys.stdin:
    (left.add if line[0] == "+" else left.discard)(line[1:].rstrip())
for item in sorted(left, reverse=True):  # pids before the folders they write to
    kind, _, name = item.partition(" ")
    try:
        os.kill(int(name), 9) if kind == "pid" else shutil.rmtree(name, ignore_errors=True)
    except ProcessLookupError:
        pass
"""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-IS", "-c", self.WILL],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # Ctrl-C is for pytest
        )
        atexit.register(self.inherit)

    def tell(self, line: str) -> None:
        if self.process.stdin and os.getpid() == self.owner:
            os.write(self.process.stdin.fileno(), f"{line}\n".encode())

    def inherit(self) -> None:
        if self.process.stdin and os.getpid() == self.owner:
            self.process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)


@functools.cache
def heir() -> Heir:
    return Heir()


def new_folder() -> Path:
    """A temporary folder with a short path, a unix socket's has at most 108 bytes; removed at the end at the latest."""
    folder = Path(tempfile.mkdtemp(prefix="cronlock-test-"))
    heir().tell(f"+dir {folder}")
    return folder


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    heir().tell(f"-dir {folder}")


def cronlock_on_path() -> str:
    """A PATH with a `cronlock` in front that runs the package under test."""
    programs = home() / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "cronlock").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m cronlock "$@"\n')
    (programs / "cronlock").chmod(0o755)
    return f"{programs}:{os.environ.get('PATH', os.defpath)}"


_started: list[subprocess.Popen[Any]] = []
_homes: list[Path] = []


def home() -> Path:
    """The HOME of cronlock in this test: empty at the start of each test."""
    if not _homes:
        _homes.append(new_folder())
    return _homes[0]


@functools.cache
def _python_path() -> dict[str, str]:
    """Makes a new Python import the very package that these tests import; nothing when it does so anyway (pip -e)."""
    asked = subprocess.run(
        [sys.executable, "-c", "import importlib.util as u; s = u.find_spec('cronlock'); print(s and s.origin)"],
        cwd="/",
        env={"PATH": os.environ.get("PATH", os.defpath)},
        capture_output=True,
        text=True,
        check=True,
    )
    ours = str(ROOT / "cronlock" / "__init__.py")
    return {} if asked.stdout.strip() == ours else {"PYTHONPATH": str(ROOT)}


def environment(extra: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """The whole environment that cronlock gets in a test; `extra` adds to it, None takes a name out."""
    base: dict[str, str | None] = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home()),
        "LANG": "C.UTF-8",
        **_python_path(),
        **(extra or {}),
    }
    return {name: value for name, value in base.items() if value is not None}


# What Python or the C library reads when it starts, and never again.
AT_START = ("PYTHON", "LC_", "LANG", "TZ", "LD_", "FAKETIME")


def forks(env: Mapping[str, str | None]) -> bool:
    """Return whether a call of cronlock with these variables is the same without its start."""
    return sys.platform == "linux" and not any(name.startswith(AT_START) for name in env)


def _words(args: tuple[object, ...]) -> list[str]:
    return [sys.executable, "-m", "cronlock", *map(str, args)]


def cronlock(*args: object, env: Mapping[str, str | None] | None = None, **kw: Any) -> subprocess.CompletedProcess[str]:
    """Runs cronlock to its end, in `home()`, without stdin, and returns its status and output as text.

    `kw` goes to `start_cronlock`, but for `input` and `timeout` (s). Raises TimeoutExpired after PATIENCE, and ends it.

    What people type imports for a fifth of a second: unless a test is about that, it is forked from a process that has
    done so before. A `run` is, too, if it is to be `forked`.
    """
    text, timeout = kw.pop("input", None), kw.pop("timeout", PATIENCE)
    forked = kw.pop("forked", args[:1] != ("run",))
    if forked and not kw and forks(env or {}):
        from tests.support.fork_server import run_forked

        done = run_forked(list(map(str, args)), environment(env), home(), text, timeout)
        return subprocess.CompletedProcess(_words(args), done.returncode, done.stdout, done.stderr)
    if text is not None:
        kw["stdin"] = subprocess.PIPE
    process = start_cronlock(*args, env=env, **kw)
    try:
        out, err = process.communicate(text, timeout)
    finally:
        end(process)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def start_cronlock(*args: object, env: Mapping[str, str | None] | None = None, **kw: Any) -> subprocess.Popen[str]:
    """Starts cronlock as `cronlock` does, and returns at once; the test's end ends it.

    `kw` goes to subprocess.Popen, but for `before`: words in front of cronlock's, which must not fork.
    """
    return start_words([*kw.pop("before", ()), *_words(args)], env, **kw)


def start_words(words: list[str], env: Mapping[str, str | None] | None = None, **kw: Any) -> subprocess.Popen[str]:
    """Starts a program as `start_cronlock` does."""
    options: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "cwd": home(),
        **kw,
    }
    process: subprocess.Popen[str] = subprocess.Popen(words, env=environment(env), **options)
    heir().tell(f"+pid {process.pid}")
    _started.append(process)
    return process


def end(process: subprocess.Popen[Any]) -> None:
    """Ends a process that a test started, and what that started; asked first, so that a good one can tidy up."""
    if process.poll() is None:
        family = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(FAREWELL)
        process.kill()
        process.wait()
        for pid, birth in family.items():
            if stat_of(pid)[1] == birth:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream and not stream.closed:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
    heir().tell(f"-pid {process.pid}")
    if process in _started:
        _started.remove(process)


def end_all() -> None:
    """The end of a test: what it started is ended, and the next one gets a new HOME."""
    for process in _started[:]:
        end(process)
    while _homes:
        folder = _homes.pop()
        for pid in bearing(f"HOME={folder}"):  # guards too, which are nobody's descendants when a test has failed
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        remove_folder(folder)
