"""The machine that the pages speak of: three servers by the names redis-1 to redis-3, and files where they have to be.

A mount namespace in which /etc, /usr/local, /var and /srv may be written to and the machine's own crontabs are out of
sight. What the pages show can be typed there as it stands. Needs root.
"""

import json
import random
import shlex
import subprocess
import sys
from contextlib import ExitStack

from tests.support.commands import PATIENCE, ROOT, heir, home, new_folder, remove_folder, wait_until
from tests.support.servers import Closing, Place, Server, start_servers

REDIS_PORT = 6379
NAMES = ("redis-1", "redis-2", "redis-3")
PROGRAMS = (  # the user's
    *("nightly", "tidy", "report", "backup", "import", "scheduler", "poll", "mail", "make", "mysqldump"),
    *("runitor", "chronic"),
)
WRITABLE = ("/etc", "/usr/local", "/var", "/srv")
# The keeper holds the namespace; whoever has its mounts sees it.
MOUNTS = """\
set -e
folder=$1
shift
mount --make-rprivate /
mount -t tmpfs none "$folder/upper"
for path; do
    upper=$folder/upper$path
    mkdir -p "$upper.new" "$upper.work"
    mount -t overlay none -o "lowerdir=$path,upperdir=$upper.new,workdir=$upper.work" "$path"
done
mkdir -p /etc/cron.d /var/spool/cron/crontabs /var/lib/cronlock /srv/tmp /var/lib/prometheus/node-exporter
for path in /etc/cron.d /var/spool/cron/crontabs /var/lib/cronlock; do
    mkdir -p "$folder$path"
    mount --bind "$folder$path" "$path"
done
cp -r --remove-destination "$folder/given/." /
mount -t tmpfs none /run
mkdir /run/lock
echo ready
exec sleep infinity
"""
STUB = """\
#!/bin/sh
echo "${{0##*/}} $CRONLOCK_RUN_KEY $*" >> {calls}
case ${{0##*/}},$1 in scheduler,* | *,sleep) exec sleep 60 ;; esac
"""
WITHIN = 'cd "$1" && shift && exec "$@"'
CRON = {"SHELL": "/bin/sh", "LOGNAME": "root", "PATH": "/usr/local/bin:/usr/bin:/bin"}  # what cron gives, and a PATH


class NamespaceHost(Closing):
    """One machine, with the user's commands, which note that they were started and do nothing, and these settings."""

    def __init__(self, settings: str) -> None:
        self._stack = ExitStack()
        self.folder = new_folder()
        self._stack.callback(remove_folder, self.folder)
        self.calls = self.folder / "calls"
        try:
            self.servers = self._three()
            self._give(settings)
            self.keeper = self._open()
        except BaseException:
            self.close()
            raise

    def _three(self) -> list[Server]:
        network = f"127.{random.randint(64, 250)}.{random.randint(1, 250)}"  # its port 6379 is free
        places = [Place(address=f"{network}.{number}") for number, _ in enumerate(NAMES, 1)]
        servers = start_servers(len(NAMES), places=places, port=REDIS_PORT, appendonly="yes", appendfsync="no")
        for server in servers:
            self._stack.callback(server.close)
            assert server.port == REDIS_PORT
        return servers

    def _give(self, settings: str) -> None:
        """Write the files that are copied into the namespace."""
        given = self.folder / "given"
        hosts = "".join(f"{server.place.address} {name}\n" for server, name in zip(self.servers, NAMES, strict=True))
        for path, text in (("etc/hosts", f"127.0.0.1 localhost\n{hosts}"), ("etc/cronlock.toml", settings)):
            (given / path).parent.mkdir(parents=True, exist_ok=True)
            (given / path).write_text(text)
        (given / "etc/crontab").write_text("")
        (given / "etc/localtime").symlink_to("/usr/share/zoneinfo/Etc/UTC")
        (self.folder / "upper").mkdir()
        stub = STUB.format(calls=self.calls)
        python = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n'
        texts = dict.fromkeys(PROGRAMS, stub) | {"python": python}
        texts["cronlock"] = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m cronlock "$@"\n'
        for name, text in texts.items():
            program = given / "usr/local/bin" / name
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text(text)
            program.chmod(0o755)
        for page in (ROOT / "man").glob("*.[1-9]"):
            link = given / f"usr/local/share/man/man{page.suffix[1:]}" / page.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(page)

    def _open(self) -> "subprocess.Popen[str]":
        words = ["unshare", "--mount", "sh", "-c", MOUNTS, "sh", str(self.folder), *WRITABLE]
        keeper = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        heir().tell(f"+pid {keeper.pid}")
        self._stack.callback(self._end, keeper)
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "ready\n"
        return keeper

    @staticmethod
    def _end(keeper: "subprocess.Popen[str]") -> None:
        keeper.kill()
        keeper.wait()
        heir().tell(f"-pid {keeper.pid}")

    def close(self) -> None:
        self._stack.close()

    def clear(self) -> None:
        """As new: empty servers that answer, no local records, no crontabs, the settings file, nothing started."""
        for server in self.servers:
            server.heal()
        for name in ("var/lib/cronlock", "etc/cron.d", "var/spool/cron/crontabs"):
            for file in (self.folder / name).iterdir():
                file.unlink()
        settings = self.folder / "given/etc/cronlock.toml"
        assert self.run(f"cp --remove-destination {settings} /etc/").returncode == 0
        self.calls.unlink(missing_ok=True)

    def crontab(self, text: str) -> None:
        """A file in /etc/cron.d."""
        file = self.folder / "etc/cron.d/pages"
        file.write_text(text)
        file.chmod(0o644)

    def own_crontab(self, text: str) -> None:
        """Root's own crontab."""
        file = self.folder / "var/spool/cron/crontabs/root"
        file.write_text(text)
        file.chmod(0o600)

    def ran(self) -> set[tuple[str, str]]:
        """Key and schedule of each run that has ended."""
        server = self.servers[0].redis
        names = [name for pattern in ("*:record:*", "*:each:*") for name in server.scan_iter(pattern, _type="hash")]
        found = [(name, server.hmget(name, "schedule", "outcome")) for name in names]
        for file in (self.folder / "var/lib/cronlock").glob("*.json"):
            kept = json.loads(file.read_text())
            found.append((kept["name"], [kept["record"].get(field) for field in ("schedule", "outcome")]))
        return {(name.rpartition(":")[2], schedule) for name, (schedule, outcome) in found if outcome}

    def started(self) -> list[str]:
        """The user's commands that were started: program, key, arguments."""
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def start(self, line: str, prompt: str = "/bin/sh", **env: str) -> "subprocess.Popen[str]":
        """Starts a line there as cron does, in the home of this test."""
        within = ["nsenter", "-t", str(self.keeper.pid), "-m", "--", "sh", "-c", WITHIN, "sh", str(home())]
        return subprocess.Popen(
            [*within, prompt, "-c", line],
            env={**CRON, "HOME": str(home()), "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT), **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, line: str, prompt: str = "/bin/sh", **env: str) -> "subprocess.CompletedProcess[str]":
        """Runs a line to its end."""
        process = self.start(line, prompt, **env)
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            if process.poll() is None:
                process.kill()
        return subprocess.CompletedProcess(line, process.returncode, out, err)

    def daemon(self, line: str, prompt: str = "/bin/sh") -> int:
        """Starts a line that goes on, ends it by SIGTERM when its command has been started, and returns its status."""
        process = self.start(f"exec {line}", prompt)
        heir().tell(f"+pid {process.pid}")
        wait_until(self.started, PATIENCE, f"the command of {line}")
        process.terminate()
        process.communicate(timeout=PATIENCE)
        heir().tell(f"-pid {process.pid}")
        return process.returncode
