"""What dumb-init, tini and timeout(1) document, each promise kept beside cronlock; where it differs, it means to."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.commands import PATIENCE, end, environment, heir, home, wait_until
from tests.support.processes import about, bearing

PEERS = ("timeout", "dumb-init", "tini")
USUAL = {"timeout": "timeout 60", "tini": "tini -s --"}  # tini warns without -s when it is not PID 1

SHELL = ("sh", "-c", '"$@"; exit $?', "sh")  # in front of a wrapper: its status as a shell sees it
NOHUP = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")
PID_1 = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")

BARRIER = signal.SIGIO  # of the signals that wait the kernel gives the lowest first: this one comes after all others
PROBE = f"""
import os, signal, sys
signals = set(range(1, {BARRIER + 1:d})) - {{signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGCONT}}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
name = "grandchild" if "fork" in sys.argv and not os.fork() else sys.argv[1]
log = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
os.write(log, b"%d\\n" % os.getpid())
while True:
    os.write(log, signal.Signals(signal.sigwait(signals)).name.encode() + b"\\n")
"""
LISTEN = (sys.executable, "-IS", "-c", PROBE)
ORPHAN = (
    "(sleep 0.1 & echo $! >orphan); n=0; "
    "while [ -d /proc/$(cat orphan) ] && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done; [ $n -lt 50 ]"
)


# -- a wrapper and what it started ---------------------------------------------------------------------------------


class Program:
    """One wrapper as a row writes it, such as `timeout -k 1 2`, in front of commands."""

    def __init__(self, written, url):
        self.written = written
        name, *options = USUAL.get(written, written).split()
        ours = ["-m", "cronlock", "run", "--redis", url, "--key", "job", "--schedule", "none"]
        self.words = [sys.executable, *ours, *options, "--"] if name == "cronlock" else [name, *options]
        self.started = []

    def start(self, *command, front=(), stdin=subprocess.DEVNULL, env=None):
        """The wrapper with the command behind it, `front` before it; its output goes to the files out and err."""
        words = [*front, *self.words, *command]
        with Path(home(), "out").open("wb") as out, Path(home(), "err").open("wb") as err:
            process = subprocess.Popen(words, cwd=home(), env=environment(env), stdin=stdin, stdout=out, stderr=err)
        heir().tell(f"+pid {process.pid}")
        self.started.append(process)
        return process

    def run(self, *command, **kw):
        """To its end: the status as Popen sees it, negative for a signal, and what was written."""
        status = self.start(*command, **kw).wait(PATIENCE)
        return status, Path(home(), "out").read_text(), Path(home(), "err").read_text()

    def status(self, *command):
        """The status as a shell has it in $?."""
        return self.run(*command, front=SHELL)[0]

    def probe(self, *words, **kw):
        """The wrapper with a command that only listens, and, with `fork`, a child of that; as soon as they do."""
        process = self.start(*LISTEN, "child", *words, **kw)
        for name in ("child", "grandchild") if "fork" in words else ("child",):
            wait_until(lambda name=name: log(name), message=f"the {name}")
        return process


@pytest.fixture
def program(request, server):
    """The wrapper of this test; what it started ends with the test, wherever it went."""
    program = Program(request.param, server.url)
    yield program

    def ended():
        for pid in (left := family()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_until(ended, message="the end of what the wrapper left")
    for process in program.started:
        end(process)


def family():
    """The living processes of this test, whatever became of their parents: pid -> name."""
    return bearing(f"HOME={home()}")


def below(process):
    """The wrapper, where something stands in front of it."""
    return next(pid for pid in family() if about(pid)["PPid"] == str(process.pid))


def idle(pid):
    """Whether a process sleeps and has dealt with every signal that it got."""
    told = about(pid)
    return told["State"][0] == "S" and not int(told["SigPnd"], 16) | int(told["ShdPnd"], 16)


def log(name):
    path = Path(home(), name)
    return path.read_text().splitlines() if path.exists() else []


def pid_of(name):
    """The pid of a listener, as it sees it itself."""
    return int(wait_until(lambda: log(name), message=f"the {name}")[0])


def heard(name, *awaited):
    """The signals that a listener got, each once, as soon as it got those that are awaited."""
    names = {number.name for number in awaited}
    wait_until(lambda: names <= set(log(name)), message=f"{', '.join(names)} at the {name}")
    return sorted(set(log(name)[1:]) - {BARRIER.name})


def heard_by_now(name):
    """The signals that were sent to a listener up to now."""
    os.kill(pid_of(name), BARRIER)
    return heard(name, BARRIER)


def gone():
    """Whether nothing is left; it takes a while to say that something is."""
    with contextlib.suppress(AssertionError):
        return wait_until(lambda: not family(), timeout=4, interval=0.05)
    return False


# -- how the rows are done -----------------------------------------------------------------------------------------


def runs(*command, **kw):
    return lambda program: program.run(*command, **kw)[0]


def exits(*statuses):
    return lambda program: [program.status("sh", "-c", f"exit {status}") for status in statuses]


def dies(*numbers):
    return lambda program: [program.status("sh", "-c", f"kill -{int(number)} $$") for number in numbers]


def cannot_start(program):
    """The statuses of a command that isn't there, and of a file without the right to execute it."""
    Path(home(), "plain").touch()
    return program.status("no-such-program"), program.status("./plain")


def is_on_path(program):
    """A script without #! on a PATH that has a folder of its name before it."""
    Path(home(), "one", "tool").mkdir(parents=True)
    script = Path(home(), "two", "tool")
    script.parent.mkdir()
    script.write_text("echo found\n")
    script.chmod(0o755)
    path = f"{home()}/one:{home()}/two:{os.environ['PATH']}"
    return program.run("tool", env={"PATH": path})


def has_no_interpreter_line(program):
    script = Path(home(), "script")
    script.write_text('echo "$1 by sh"\n')
    script.chmod(0o755)
    return program.run("./script", "run")


def ignores(*names):
    """Whether signals that are ignored when the wrapper starts are ignored in the command."""

    def how(program):
        found = []
        for name in names:
            front = ("env", f"--ignore-signal={name}")
            out = program.run("grep", "SigIgn", "/proc/self/status", front=front)[1]
            found.append(bool(int(out.split()[1], 16) >> signal.Signals[f"SIG{name}"] - 1 & 1))
        return found

    return how


def reads_and_writes(program):
    path = Path(home(), "in")
    path.write_text("one\ntwo")
    with path.open() as stdin:
        return program.run("sh", "-c", "cat; echo problem >&2", stdin=stdin)


def changes_the_environment(program):
    """The names that are new, and those that are gone or changed."""
    given = environment({"ODD": " a=b\t", "LC_ALL": "C", "EMPTY": ""})
    got = dict(line.split("=", 1) for line in program.run("env", env=given)[1].splitlines())
    return sorted(set(got) - set(given)), [name for name in given if got.get(name) != given[name]]


def proxies(*numbers, front=()):
    def how(program):
        process = program.probe(front=front)
        for number in numbers:
            os.kill(below(process) if front else process.pid, number)
            heard("child", number)
        return heard("child")

    return how


def proxies_what_is_ignored(program):
    wrapper = program.probe()
    wrapper.send_signal(signal.SIGWINCH)
    wait_until(lambda: idle(wrapper.pid), message="the wrapper to have dealt with SIGWINCH")
    return heard_by_now("child")


def reaches(program):
    """Who hears a signal; what the wrapper does about it is complete when the wrapper has ended."""
    wrapper = program.probe("fork")
    wrapper.send_signal(signal.SIGINT)
    heard("child", signal.SIGINT)
    os.kill(pid_of("child"), signal.SIGKILL)
    wrapper.wait(PATIENCE)
    heard_by_now("grandchild")
    return [name for name in ("child", "grandchild") if "SIGINT" in log(name)]


def leaves_the_rest(program):
    """What a process hears that the command left behind."""
    wrapper = program.probe("fork")
    os.kill(pid_of("child"), signal.SIGKILL)
    wrapper.wait(PATIENCE)
    return heard_by_now("grandchild")


def is_placed(program):
    """What the command has of its own."""
    wrapper, child = program.probe().pid, pid_of("child")
    own = {
        "group": os.getpgid(child) != os.getpgrp(),
        "wrapper in it": os.getpgid(child) == os.getpgid(wrapper),
        "session": os.getsid(child) != os.getsid(0),
    }
    return [name for name, true in own.items() if true]


def suspends(program):
    wrapper = program.probe()

    def both(state):
        return all(about(pid)["State"][0] == state for pid in (wrapper.pid, pid_of("child")))

    wrapper.send_signal(signal.SIGTSTP)
    wait_until(lambda: both("T"), message="both to stop")
    wrapper.send_signal(signal.SIGCONT)
    wait_until(lambda: both("S"), message="both to go on")
    wrapper.send_signal(signal.SIGUSR1)
    return heard("child", signal.SIGUSR1)


def limited(*command):
    """The status when the time is over, and whether everything has ended."""
    return lambda program: (program.status(*command), gone())


def says_so(program):
    """How many lines on stderr tell of the time limit, and how many of something else."""
    lines = program.run("sleep", "60")[2].splitlines()
    told = re.compile(r"cronlock: job: timed out: |timeout: sending signal TERM to command .sleep.$")
    return sum(bool(told.match(line)) for line in lines), sum(not told.match(line) for line in lines)


def spares_children(program):
    """What a child of the command hears at the time limit, or the status of a wrapper that did not start it."""
    status = program.status("sh", "-c", '"$@" & wait', "sh", *LISTEN, "grandchild")
    return status if status == 125 else heard_by_now("grandchild")


def rewrites(program):
    """What SIGTERM becomes, or the status of a wrapper that did not start the command."""
    wrapper = program.start(*LISTEN, "child")
    wait_until(lambda: log("child") or wrapper.poll() is not None)
    wrapper.send_signal(signal.SIGTERM)
    return wrapper.returncode or heard("child", signal.SIGQUIT)


def loses_its_parent(program):
    """What the command hears when the wrapper's parent is killed."""
    shell = program.probe(front=SHELL)
    wrapper = below(shell)
    shell.kill()
    shell.wait()
    wait_until(lambda: idle(wrapper), message="the wrapper to have dealt with it")
    return heard_by_now("child")


def is_killed(program):
    """What is left of the command and its child when the wrapper is killed and nobody lives who could end them."""
    wrapper = program.start(*BACKGROUND)
    wait_until(lambda: list(family().values()).count("sleep") == 2, message="both sleeps")
    wrapper.kill()
    wrapper.wait()

    def settled():
        left = family()
        return all(name in ("sh", "sleep") and idle(pid) for pid, name in left.items()) and [sorted(left.values())]

    return wait_until(settled)[0]


# -- the table -----------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """A promise, how it is tried, what comes out with each wrapper; `meant`: why cronlock differs from all others."""

    name: str
    promise: str
    how: Callable
    outcomes: dict
    meant: str = ""
    marks: tuple = ()


def alike(outcome, *written):
    """The same outcome for all of them."""
    return dict.fromkeys(written, outcome)


def names(*numbers):
    return sorted(number.name for number in numbers)


ALL = ("cronlock", *PEERS)
ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
USERS = (signal.SIGUSR1, signal.SIGUSR2)
FATAL = (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGUSR1)
HANGS_UP = ("sh", "-c", "kill -HUP $$; exit 5")
BACKGROUND = ("sh", "-c", "sleep 60 & sleep 60")
TIMED_OUT = alike((124, True), "cronlock --max-runtime 1s", "timeout 1")
KILLED = "cronlock --max-runtime 2s --kill-after 1s"
ROOT = (pytest.mark.debian,)

# fmt: off
TABLE = [
    Row("exit-status", "exits with the status of the command",
        exits(0, 1, 42, 255), alike([0, 1, 42, 255], *ALL)),
    Row("own-status", "what would be a status of the wrapper's own is passed on like any other",
        exits(122, 123, 124, 125, 126, 127), alike([122, 123, 124, 125, 126, 127], *ALL)),
    Row("cannot-start", "127 if the command can't be found, 126 if it is found but can't be invoked",
        cannot_start, alike((127, 126), "cronlock", "timeout", "tini")),
    Row("cannot-start-2", "dumb-init exits with 2",
        cannot_start, {"cronlock": (127, 126), "dumb-init": (2, 2)},
        meant="2 is the status of many a command that did run; these are what a shell says"),
    Row("usage", "125 if the wrapper itself fails",
        runs("true"), alike(125, "cronlock --no-such-option", "timeout --no-such-option 60", "timeout soon")),
    Row("usage-1", "dumb-init and tini exit with 1",
        runs("true"), {"cronlock --no-such-option": 125, **alike(1, "dumb-init --no-such-option", "tini -Z --")},
        meant="1 is the status of most commands that fail; 125 is free for the wrapper, as timeout has it"),
    Row("no-interpreter-line", "a script without #! runs under /bin/sh, as execvp(3) does it",
        has_no_interpreter_line, alike((0, "run by sh\n", ""), *ALL)),
    Row("on-path", "it is searched along PATH, past a folder of its name",
        is_on_path, alike((0, "found\n", ""), *ALL)),
    Row("nothing", "an empty command name is not found",
        runs(""), alike(127, "cronlock", "timeout", "tini")),
    Row("killed", "128+n in the shell when signal n killed the command",
        dies(*FATAL), alike([128 + number for number in FATAL], *ALL)),
    Row("killed-exits", "the wrapper itself exits, with 128+n",
        runs("sh", "-c", "kill -TERM $$"), alike(143, "cronlock", "dumb-init", "tini")),
    Row("killed-dies", "timeout kills itself by the command's signal",
        runs("sh", "-c", "kill -TERM $$"), {"cronlock": 143, "timeout": -signal.SIGTERM},
        meant="a wrapper that dies of a signal looks like one that was killed and has told no voter"),

    Row("streams", "stdin, stdout and stderr are the command's, and the wrapper writes nothing of its own",
        reads_and_writes, alike((0, "one\ntwo", "problem\n"), *ALL)),
    Row("environment", "the environment is passed on as it is",
        changes_the_environment, {
            "cronlock": ([f"CRONLOCK_RUN_{name}" for name in ("ATTEMPT", "KEY", "NODE", "TOKEN")], []),
            **alike(([], []), *PEERS)},
        meant="the command learns of its run, its fencing token above all"),
    Row("nohup", "what was ignored when the wrapper started is ignored in the command",
        runs(*HANGS_UP, front=NOHUP), alike(5, "cronlock", "tini")),
    Row("nohup-undone", "timeout and dumb-init catch it, and exec(2) then resets it",
        runs(*HANGS_UP, front=NOHUP), {"cronlock": 5, "timeout": -1, "dumb-init": 129},
        meant="nohup keeps its promise"),

    Row("ignored-children", "SIGCHLD is no exception; timeout and dumb-init reset it, and tini hangs",
        ignores("CHLD"), {"cronlock": [True], **alike([False], "timeout", "dumb-init")},
        meant="the command gets what cronlock got, also where cronlock needs the signal itself"),
    Row("ignored-pipe", "SIGPIPE, which systemd ignores for its services, and SIGXFSZ stay ignored",
        ignores("PIPE", "XFSZ"), {"cronlock": [False, False], **alike([True, True], "timeout", "tini")},
        meant="Python overwrites them before cronlock's first line, and nothing tells what they were; "
        "env --ignore-signal=PIPE behind cronlock ignores one of them"),

    Row("proxies", "signals to the wrapper are passed to the command",
        proxies(*ENDING), alike(names(*ENDING), *ALL)),
    Row("proxies-users", "so are the two that mean what the command likes",
        proxies(*USERS), alike(names(*USERS), "cronlock", "dumb-init", "tini")),
    Row("proxies-everything", "all signals are proxied, also those that do nothing by default",
        proxies_what_is_ignored, {"cronlock": [], **alike(["SIGWINCH"], "dumb-init", "tini")},
        meant="only the eight that people send to a job; a terminal tells its foreground group of its size by itself"),
    Row("to-the-group", "signals go to the command's whole process group",
        reaches, alike(["child", "grandchild"], "cronlock", "timeout", "dumb-init", "tini -s -g --")),
    Row("to-the-child", "signals are only proxied to the direct child",
        reaches, {"cronlock": ["child", "grandchild"], **alike(["child"], "dumb-init --single-child", "tini")},
        meant="a shell script does not pass on what it gets, and its children would outlive the lock"),
    Row("group", "the command is in a process group of its own",
        is_placed, alike(["group"], "cronlock", "tini")),
    Row("group-with-the-wrapper", "timeout shares the command's group, and leads it",
        is_placed, {"cronlock": ["group"], "timeout": ["group", "wrapper in it"]},
        meant="the wrapper outlives what it kills: it has voters to tell"),
    Row("session", "dumb-init establishes a session rooted at the command",
        is_placed, {"cronlock": ["group"], "dumb-init": ["group", "session"]},
        meant="a new session has no terminal, and at a shell prompt the command is to have it"),
    Row("suspends", "SIGTSTP suspends the command and the wrapper, SIGCONT continues both",
        suspends, alike(["SIGUSR1"], "cronlock", "dumb-init")),
    Row("rest-is-left", "what the command left in the background goes on",
        leaves_the_rest, alike([], "cronlock", "timeout", "tini")),
    Row("rest-is-ended", "when the command dies, dumb-init cleans up other processes that remain",
        leaves_the_rest, {"cronlock": [], "dumb-init": ["SIGTERM"]},
        meant="without cronlock, cron leaves them too"),

    Row("in-time", "a command that ends within the limit has its own status",
        exits(0, 3), alike([0, 3], "cronlock --max-runtime 1m", "timeout 1m")),
    Row("limit", "124 if the command times out, and SIGTERM ends it", limited("sleep", "60"), TIMED_OUT),
    Row("limit-status", "also when it answers SIGTERM with a status of its own",
        limited("sh", "-c", 'trap "exit 5" TERM; sleep 60 & wait'), TIMED_OUT),
    Row("limit-group", "children of the command are ended with it", limited(*BACKGROUND), TIMED_OUT),
    Row("limit-stopped", "a stopped command is continued, so that SIGTERM ends it",
        limited("sh", "-c", "kill -STOP $$"), TIMED_OUT),
    Row("kill-after", "SIGKILL follows; timeout then exits with 137",
        limited("sh", "-c", 'trap "" TERM; sleep 60'), {KILLED: (124, True), "timeout -k 1 2": (137, True)},
        meant="it timed out, whether or not SIGKILL was needed"),
    Row("kill-after-group", "timeout kills only while the command itself lives",
        limited("sh", "-c", '(trap "" TERM; sleep 60) & wait'), {KILLED: (124, True), "timeout -k 1 2": (124, False)},
        meant="nothing outlives the lock"),
    Row("limit-said", "one line diagnoses the signal sent upon timeout",
        says_so, alike((1, 0), "cronlock --max-runtime 1s", "timeout -v 1")),
    Row("limit-silent", "without -v timeout says nothing",
        says_so, {"cronlock --max-runtime 1s": (1, 0), "timeout 1": (0, 0)},
        meant="cron mails any byte, and a job cut short is worth a mail"),
    Row("no-limit", "a duration of 0 disables the timeout",
        exits(3), {"cronlock --max-runtime 0": [125], "timeout 0": [3]},
        meant="0 means what it says; leaving the option out is no limit"),

    Row("no-preserve-status", "--preserve-status exits with the command's status although it timed out",
        runs("sleep", "60"), {"cronlock --preserve-status": 125, "timeout --preserve-status 1": 143},
        meant="who reads the status has to learn that the command was cut short"),
    Row("no-signal", "-s sends another signal upon timeout",
        runs("sh", "-c", 'trap "" TERM; sleep 60'), {"cronlock --signal INT": 125, "timeout -s INT 1": 124},
        meant="SIGTERM it is everywhere, as for a lost lease or a dead wrapper"),
    Row("no-foreground", "with --foreground children of the command are not timed out",
        spares_children, {"cronlock --foreground": 125, "timeout --foreground 1": []},
        meant="the command gets the terminal anyway, and children would outlive the lock"),
    Row("no-rewrite", "--rewrite proxies another signal than the one received",
        rewrites, {"cronlock --rewrite 15:3": 125, "dumb-init --rewrite 15:3": ["SIGQUIT"]},
        meant="that is for supervisors that can send one signal only; cron sends none"),
    Row("no-remap", "-e turns a status into 0",
        runs("sh", "-c", "exit 143"), {"cronlock -e 143": 125, "tini -s -e 143 --": 0},
        meant="a shell does that behind ||"),

    Row("parent-dies", "the wrapper and the command go on when the wrapper's parent dies",
        loses_its_parent, alike([], *ALL)),
    Row("parent-dies-signal", "-p sends the wrapper a signal when its parent dies",
        loses_its_parent, {"cronlock": [], "tini -s -p SIGTERM --": ["SIGTERM"]},
        meant="cron may be restarted while its jobs run"),
    Row("wrapper-is-killed", "SIGKILL for the wrapper leaves the command running",
        is_killed, {"cronlock": [], **alike(["sh", "sleep", "sleep"], *PEERS, "tini -s -p SIGKILL --")},
        meant="nothing may outlive the lease, which nobody would extend any more"),

    Row("pid-1-reaps", "as PID 1 it reaps the zombies that orphans become",
        runs("sh", "-c", ORPHAN, front=PID_1), alike(0, "cronlock", "dumb-init", "tini"), marks=ROOT),
    Row("pid-1-proxies", "as PID 1 it proxies signals",
        proxies(*ENDING, *USERS, front=PID_1), alike(names(*ENDING, *USERS), "cronlock", "dumb-init", "tini"),
        marks=ROOT),
    Row("pid-1-killed", "as PID 1 it exits with 128+n when signal n killed the command",
        runs("sh", "-c", "kill $$", front=PID_1), alike(143, "cronlock", "dumb-init", "tini"), marks=ROOT),
]
# fmt: on


def side_by_side():
    for row in TABLE:
        for written in row.outcomes:
            if (name := written.split()[0]) == "cronlock" or shutil.which(name):
                slug = re.sub(r"\W+", "-", f"{written.rstrip(' -')} {row.name}")
                yield pytest.param(row, written, id=slug, marks=row.marks)


@pytest.mark.parametrize(("row", "program"), list(side_by_side()), indirect=["program"])
def test_a_promise_is_kept_by_both_or_meant_to_differ(row, program):
    """What the table says comes out; cronlock's outcome is that of the others, or of none and for a reason."""
    [ours] = [outcome for written, outcome in row.outcomes.items() if written.startswith("cronlock")]
    others = [outcome for written, outcome in row.outcomes.items() if not written.startswith("cronlock")]
    assert others
    assert [other != ours for other in others] == [bool(row.meant)] * len(others)
    assert row.how(program) == row.outcomes[program.written], f"{row.promise}; {row.meant}"


def test_no_peer_is_missing_in_ci():
    """What is not installed has no rows; where everything has to be tried, everything must be there."""
    assert [peer for peer in PEERS if os.environ.get("CI") == "true" and not shutil.which(peer)] == []
