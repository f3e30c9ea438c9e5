"""The environment of the cases: an installed cronlock, three servers, and cron's environment."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.timing import Starter
from tests.support.commands import ROOT, heir, new_folder, remove_folder
from tests.support.processes import about, bearing, descendants
from tests.support.servers import Closing, start_servers

PATH = "/usr/bin:/bin"  # cron's
PLAIN = Path(__file__).with_name("plain.py")

# The machine's own crontabs stay untouched and invisible.
NAMESPACE = """\
set -e
folder=$1
shift
for path in /etc/cron.d /etc/crontab /var/spool/cron/crontabs; do
    [ ! -e "$path" ] || mount --bind "$folder/${path##*/}" "$path"
done
exec "$@"
"""

# Debian's own /etc/crontab
CRONTAB = """\
# /etc/crontab: system-wide crontab
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin
17 *  * * *  root  cd / && run-parts --report /etc/cron.hourly
25 6  * * *  root  test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
47 6  * * 7  root  test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }
52 6  1 * *  root  test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.monthly; }
"""


def installed(folder: Path) -> Path:
    """Create a virtual environment with the checkout installed in it, as README.md says; pip compiles it."""
    venv = folder / "venv"
    pip = [str(venv / "bin" / "pip"), "install", "-qq", "--disable-pip-version-check", str(ROOT)]
    for words in ([sys.executable, "-m", "venv", str(venv)], pip):
        _build(words, folder)
    return venv


def _build(words: list[str], folder: Path) -> None:
    """Run a program that starts processes and makes folders, and leave none of them if it is interrupted."""
    env = os.environ | {"TMPDIR": str(folder)}
    with subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            status = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if status:
        raise RuntimeError(f"{words} ended with status {status}")


def running(pid: int, name: str) -> list[int]:
    """Return the descendants of a process that have become a program of this name."""
    return [child for child in descendants(pid) if about(child)["Name"] == name]


class InstallFixture(Closing):
    """The environment that all parts share. `no_crontabs` is the reason why crontabs can't be used, or ""."""

    def __init__(self, venv: Path | None) -> None:
        self._stack = ExitStack()
        try:
            self._build(venv)
        except BaseException:
            self.close()
            raise

    def _build(self, venv: Path | None) -> None:
        self.folder = new_folder()
        self._stack.callback(remove_folder, self.folder)
        self._stack.callback(self._end_cases)
        for name in ("home", "filed", "cron.d", "crontabs"):
            (self.folder / name).mkdir()
        self.bin = (venv or installed(self.folder)) / "bin"
        launcher = [str(self.bin / "cronlock"), "install", "--prefix", str(self.folder / "prefix")]
        subprocess.run(launcher, stdout=subprocess.DEVNULL, check=True)
        self.servers = start_servers(3)
        for server in self.servers:
            self._stack.callback(server.close)
        (self.folder / "crontab").write_text(CRONTAB)
        self.no_crontabs = self._why_no_crontabs()
        install = () if self.no_crontabs else ("unshare", "--mount", "sh", "-c", NAMESPACE, "sh", str(self.folder))
        self.starter = self._stack.enter_context(Starter(self.folder, install))

    @staticmethod
    def _why_no_crontabs() -> str:
        if os.geteuid():
            return "only root can mount"
        return "" if Path("/etc/cron.d").is_dir() else "no /etc/cron.d here"

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]

    @property
    def env(self) -> dict[str, str]:
        """Cron's environment. The servers' URLs are added as by a line at the top of the crontab."""
        return {"HOME": str(self.folder / "home"), "LOGNAME": "root", "SHELL": "/bin/sh", "PATH": PATH}

    def cronlock_env(self, *urls: str) -> dict[str, str]:
        return self.env | {"CRONLOCK_REDIS": " ".join(urls or self.urls)}

    def cronlock(self, key: str, *words: str) -> tuple[str, ...]:
        """Return the words of the console script, as pip wrote it."""
        return (str(self.bin / "cronlock"), "run", *words, "--key", key, "--")

    def launcher(self, key: str, *words: str) -> tuple[str, ...]:
        """Return the words of the launcher that `cronlock install` wrote."""
        return (str(self.folder / "prefix" / "bin" / "cronlock"), *self.cronlock(key, *words)[1:])

    def plain(self, key: str) -> tuple[str, ...]:
        where = [word for url in self.urls for word in ("--redis", url)]
        return (str(self.bin / "python"), str(PLAIN), *where, "--key", key, "--")

    def python(self, code: str = "pass") -> tuple[str, ...]:
        """Return the words of the bare interpreter: the least that a program in Python takes."""
        return (str(self.bin / "python"), "-I", "-c", code)

    def start(self, words: Sequence[str], env: dict[str, str]) -> "subprocess.Popen[bytes]":
        """Start a process that is not timed, and return at once."""
        process = subprocess.Popen(
            words,
            env=env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        heir().tell(f"+pid {process.pid}")
        self._stack.callback(self._end, process)
        return process

    @staticmethod
    def _end(process: "subprocess.Popen[Any]") -> None:
        if process.poll() is None:
            process.kill()
            process.wait()
        heir().tell(f"-pid {process.pid}")

    def _end_cases(self) -> None:
        """End every process with this HOME, guards and commands included."""
        for name in ("home", "filed"):
            for pid in bearing(f"HOME={self.folder / name}"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        self._stack.close()
