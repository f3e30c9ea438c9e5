"""The programs to compare with: flock, and etcdctl lock with an etcd of its own; and why one is missing."""

import shutil
import subprocess

from tests.bench.install_fixture import PATH, InstallFixture
from tests.support.commands import heir, new_folder, remove_folder, wait_until
from tests.support.ports import free_port
from tests.support.servers import LOOPBACK, Closing

FLOCK, ETCDCTL = "flock -n", "etcdctl lock"
READY = 20.0  # s


def found(program: str) -> str:
    """Return the path of a program on cron's PATH, or ""."""
    return shutil.which(program, path=PATH) or ""


class Etcd(Closing):
    """One etcd on loopback, which writes to a disk as usual; its data are removed with it."""

    def __init__(self) -> None:
        self.folder = new_folder()
        self.url = f"http://{LOOPBACK}:{free_port()}"
        peers = f"http://{LOOPBACK}:{free_port()}"
        words = ["etcd", "--data-dir", str(self.folder / "data"), "--log-level", "error", "--initial-cluster"]
        words += [f"default={peers}", "--initial-advertise-peer-urls", peers, "--listen-peer-urls", peers]
        words += ["--listen-client-urls", self.url, "--advertise-client-urls", self.url]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        heir().tell(f"+pid {self.process.pid}")
        try:
            wait_until(self._answers, READY, "etcd to answer", 0.1)
        except BaseException:
            self.close()
            raise

    def _answers(self) -> bool:
        words = [*self.etcdctl(), "endpoint", "health"]
        env = {"PATH": PATH, "ETCDCTL_API": "3"}
        return not subprocess.run(words, env=env, capture_output=True, timeout=READY, check=False).returncode

    def etcdctl(self) -> tuple[str, ...]:
        return (found("etcdctl"), "--endpoints", self.url)

    def lock(self, key: str) -> tuple[str, ...]:
        return (*self.etcdctl(), "lock", key)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        remove_folder(self.folder)
        heir().tell(f"-pid {self.process.pid}")


class Peers(Closing):
    """The programs that this machine has; `missing` names the others with the reason."""

    def __init__(self, install: InstallFixture) -> None:
        self.install = install
        self.flock = found("flock")
        self.missing = [] if self.flock else ["flock is missing: install util-linux"]
        self.etcd: Etcd | None = None
        for program, package in (("etcd", "etcd-server"), ("etcdctl", "etcd-client")):
            if not found(program):
                self.missing.append(f"{program} is missing: install {package}")
        if found("etcd") and found("etcdctl"):
            self.etcd = Etcd()

    @property
    def names(self) -> list[str]:
        return [FLOCK] * bool(self.flock) + [ETCDCTL] * bool(self.etcd)

    def before(self, name: str, key: str) -> tuple[str, ...]:
        """Return the words before the command that runs under the lock."""
        if name == FLOCK:
            return (self.flock, "-n", str(self.install.folder / key))
        assert self.etcd
        return self.etcd.lock(key)

    @property
    def env(self) -> dict[str, str]:
        return self.install.env | {"ETCDCTL_API": "3"}

    def close(self) -> None:
        if self.etcd:
            self.etcd.close()
