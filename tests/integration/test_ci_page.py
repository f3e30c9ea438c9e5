"""The guide's page for CI: both files load, and their script lines deploy one at a time, through real servers.

GitHub and GitLab are played: their secrets are filled in, and their shells run the lines as their runners do.
"""

import os
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cronlock.config.options import duration
from tests.support.commands import PATIENCE, cronlock, cronlock_on_path, home, start_words, wait_until
from tests.support.doc_pages import blocks
from tests.support.servers import Server

FILES = {text.splitlines()[0].removeprefix("# "): text for text in blocks("yaml", "ci.md")}
GITHUB, GITLAB = ".github/workflows/deploy.yml", ".gitlab-ci.yml"
PASSWORD = "s%40fe"  # percent-encoded, as in the secret
AT_ONCE = 5.0  # s: a busy machine's second; the lease of a run without a schedule is a minute
DEPLOY = """\
#!/bin/sh
trap 'echo "$CRONLOCK_RUN_NODE interrupted" >> log; exit 9' INT TERM
echo "$CRONLOCK_RUN_NODE begins" >> log
while [ -e hold ]; do sleep 0.02; done
echo "$CRONLOCK_RUN_NODE ends" >> log
"""


@dataclass(frozen=True)
class Job:
    """A job as its runner sees it: the shell that gets the lines, the lines, the variables, the limit in minutes."""

    shell: tuple[str, ...]
    lines: tuple[str, ...]
    variables: dict[str, str]
    minutes: int


def github() -> Job:
    """Each step is a process of its own; the last one is the step that deploys."""
    job = yaml.safe_load(FILES[GITHUB])["jobs"]["deploy"]
    lines = tuple(step["run"] for step in job["steps"] if "run" in step)
    return Job(("bash", "-e"), lines, job["env"], job["timeout-minutes"])


def gitlab() -> Job:
    job = yaml.safe_load(FILES[GITLAB])["deploy"]
    minutes = int(job["timeout"].removesuffix("m"))
    return Job(("bash", "-eo", "pipefail"), tuple(job["script"]), job["variables"], minutes)


JOBS = {"github": github(), "gitlab": gitlab()}
EACH = pytest.mark.parametrize("name", JOBS)
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(fresh_servers: Callable[..., list[Server]]) -> Start:
    """start(name): the line of a job that deploys, in a process group of its own, as a runner starts it.

    The servers have the user of the page; the TLS in front of them is another test's.
    """
    servers = fresh_servers(3)
    for server in servers:
        server.ask("ACL", "SETUSER", "ci", "on", ">s@fe", "~cronlock:*", "&cronlock:*", "+@all")
    for program, script in (("deploy", DEPLOY), ("bin/pipx", '#!/bin/sh\necho "$*" >> installed\n')):
        path = home() / program
        path.parent.mkdir(exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)

    def filled(text: str, password: str) -> str:
        text = re.sub(r"\$\{\{ secrets\.REDIS_PASSWORD \}\}|\$REDIS_PASSWORD", password, text)
        for number, server in enumerate(servers, 1):
            text = text.replace(
                f"rediss://ci:{password}@redis-{number}", f"redis://ci:{password}@127.0.0.1:{server.port}"
            )
        assert "rediss" not in text
        return text

    def start(name: str, line: int = -1, password: str = PASSWORD) -> "subprocess.Popen[str]":
        job = JOBS[name]
        script = home() / f"{name}.sh"
        script.write_text(job.lines[line] + "\n")
        env = {variable: filled(text, password) for variable, text in job.variables.items()}
        words = [*job.shell, str(script)]
        return start_words(words, {**env, "PATH": cronlock_on_path()}, start_new_session=True)

    return start


def log() -> list[str]:
    with suppress(FileNotFoundError):
        return Path(home(), "log").read_text().splitlines()
    return []


def held() -> None:
    """Make the next deploy last until `released`."""
    Path(home(), "hold").touch()


def released() -> None:
    Path(home(), "hold").unlink()


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out + err


def test_there_is_one_file_for_each_system() -> None:
    assert list(FILES) == [GITHUB, GITLAB]


@EACH
def test_the_job_has_time_for_the_wait_and_for_the_deploy(name: str) -> None:
    [wait] = re.findall(r"--wait (\S+)", JOBS[name].lines[-1])
    assert duration(wait) < JOBS[name].minutes * 60_000


def test_what_deploys_is_the_same_in_both_and_on_the_page() -> None:
    [shown] = [text for text in blocks("", "ci.md") if "--wait" in text]
    lines = {job.lines[-1].removeprefix("exec ") for job in JOBS.values()}
    assert lines == {shown.strip()}


@EACH
def test_a_job_deploys_and_has_the_deploys_status(name: str, start: Start) -> None:
    for line in range(len(JOBS[name].lines)):
        assert ended(start(name, line)) == (0, "")
    assert log() == [f"{name} begins", f"{name} ends"]
    Path(home(), "deploy").write_text("#!/bin/sh\nexit 3\n")
    assert ended(start(name))[0] == 3


@pytest.mark.parametrize(("first", "second"), [("github", "gitlab"), ("gitlab", "github"), ("github", "github")])
def test_a_job_waits_for_the_deploy_of_another_system(first: str, second: str, start: Start) -> None:
    """Two jobs of one name exclude each other, too."""
    held()
    one = start(first)
    wait_until(lambda: log() == [f"{first} begins"], message="the first deploy")
    other = start(second)
    assert other.stderr is not None
    assert re.fullmatch(rf"cronlock: deploy: waiting at most 10m .*held by {first} since .*\n", other.stderr.readline())
    released()
    assert ended(one) == (0, "")
    assert ended(other) == (0, "")
    assert log() == [f"{job} {what}" for job in (first, second) for what in ("begins", "ends")]


def test_a_cancelled_github_job_interrupts_the_deploy_and_frees_the_key(start: Start) -> None:
    """GitHub's runner sends SIGINT to the process that it started, and to no other: hence the exec."""
    held()
    job = start("github")
    wait_until(lambda: log() == ["github begins"], message="the deploy")
    os.kill(job.pid, signal.SIGINT)
    assert ended(job)[0] == 9
    released()
    assert start("gitlab").wait(AT_ONCE) == 0
    assert log() == ["github begins", "github interrupted", "gitlab begins", "gitlab ends"]


def test_without_exec_the_shell_keeps_the_signal_to_itself(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        JOBS, "github", replace(JOBS["github"], lines=(JOBS["github"].lines[-1].removeprefix("exec "),))
    )
    held()
    job = start("github")
    wait_until(lambda: log() == ["github begins"], message="the deploy")
    os.kill(job.pid, signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        job.wait(1)
    assert log() == ["github begins"]
    released()
    job.wait(PATIENCE)


def test_a_cancelled_gitlab_job_interrupts_the_deploy_and_frees_the_key(start: Start) -> None:
    """GitLab's runner sends SIGTERM to the processes of the job."""
    held()
    job = start("gitlab")
    wait_until(lambda: log() == ["gitlab begins"], message="the deploy")
    os.killpg(job.pid, signal.SIGTERM)
    job.wait(PATIENCE)
    wait_until(lambda: log()[1:] == ["gitlab interrupted"], message="the end of the deploy")
    released()
    assert start("github").wait(AT_ONCE) == 0


def test_a_job_that_is_cancelled_while_it_waits_deploys_nothing(start: Start) -> None:
    held()
    one = start("gitlab")
    wait_until(lambda: log() == ["gitlab begins"], message="the first deploy")
    other = start("github")
    assert other.stderr is not None
    other.stderr.readline()
    os.kill(other.pid, signal.SIGINT)
    assert other.wait(AT_ONCE) == 128 + signal.SIGINT
    released()
    assert ended(one) == (0, "")
    assert log() == ["gitlab begins", "gitlab ends"]


@EACH
def test_a_job_without_the_secret_deploys_nothing(name: str, start: Start) -> None:
    status, said = ended(start(name, password=""))
    assert (status, log()) == (125, [])
    assert "refused" in said


def test_a_paused_key_deploys_nothing_and_fails_with_an_option(server: Server) -> None:
    where = ("--redis", server.url)
    assert cronlock("pause", *where, "--reason", "database migration", "deploy").returncode == 0
    words: tuple[Any, ...] = ("run", *where, "--key", "deploy", "--schedule", "none", "--wait", "10m")
    for more, status in (((), 0), (("-E", "75"), 75)):
        done = cronlock(*words, *more, "--", "echo", "deployed")
        assert (done.returncode, done.stdout) == (status, "")
