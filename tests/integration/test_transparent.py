"""A command behaves the same with and without `cronlock run` in front of it."""

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.commands import PATIENCE, cronlock, end, environment, home, start_cronlock, wait_until
from tests.support.fork_server import Call, call_all

LIBC = ctypes.CDLL(None)
IOPRIO_SET = {"x86_64": 251, "aarch64": 30}.get(os.uname().machine, -2)  # system calls; ioprio_get is the next one
OPEN = 200  # a file descriptor that nobody else uses
SIZE = 20_000_000  # bytes: many times what pipes hold
STREAMS = ("stdin", "stdout", "stderr")
PYTHONS = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1  # the probe is Python, which ignores these two at its start
FREE = set(range(1, 65)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33}  # those that a process may ignore and block
PROBE = r"""
import ctypes, json, os, sys

def content(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode("latin-1")
    except OSError as error:
        return str(error)

files = {}
for fd in os.listdir("/proc/self/fd"):
    try:
        files[fd] = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:  # that of the listing itself
        pass
found = {f"fd {fd}": [path, content(f"/proc/self/fdinfo/{fd}")] for fd, path in files.items()}
for name in "cwd exe root ns/mnt ns/net ns/pid ns/uts ns/ipc ns/user ns/cgroup".split():
    found[name] = os.readlink(f"/proc/self/{name}")
for name in "cmdline comm limits oom_score_adj personality coredump_filter loginuid cgroup autogroup".split():
    found[name] = content(f"/proc/self/{name}")
kept = tuple("Umask Uid Gid Groups NSsid THP SigB SigI SigC Cap NoNew Secc Specul Cpus_allowed Mems_allowed".split())
for line in content("/proc/self/status").splitlines():
    if line.startswith(kept):
        name, _, found[name] = line.partition(":\t")
found["environment"] = sorted(content("/proc/self/environ").split("\0"))
found["session"] = os.getsid(0)
found["nice"] = os.getpriority(os.PRIO_PROCESS, 0)
found["scheduler"] = [os.sched_getscheduler(0), os.sched_getparam(0).sched_priority, sorted(os.sched_getaffinity(0))]
libc = ctypes.CDLL(None)
found["prctl"] = {option: libc.prctl(option, 0, 0, 0, 0) for option in (3, 7, 27, 30, 37, 42)}
found["I/O priority"] = libc.syscall(int(sys.argv[2]), 1, 0)
with open(sys.argv[1], "w") as file:
    json.dump(found, file)
"""
LAUNCH = """
import ast, ctypes, os, sys
def array(words):
    return (ctypes.c_char_p * (len(words) + 1))(*words, None)
words = [os.fsencode(word) for word in sys.argv[2:]]
ctypes.CDLL(None).execve(words[0], array(words), array(ast.literal_eval(sys.argv[1])))
"""
TAKE_A_RECORD_LOCK = """
import fcntl, os, sys
files = [os.open(name, os.O_RDWR) for name in ("lock", "lock", "/dev/null")]
for fd in files:
    os.set_inheritable(fd, True)
fcntl.lockf(files[0], fcntl.LOCK_EX)
os.execv(sys.argv[1], sys.argv[1:])
"""
EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def local(local_key):
    """`cronlock run`, on this machine alone."""
    return ("run", "--local", "--key", local_key, "--schedule", "none", "--")


def plain(*words, **kw):
    """The same command without cronlock."""
    options = {"env": environment(), "cwd": home(), "capture_output": True, "timeout": PATIENCE, **kw}
    return subprocess.run(words, check=False, **options)


def result(done):
    """Return status and both streams of an ended command."""
    return done.returncode, done.stdout, done.stderr


# -- what a process inherits -------------------------------------------------------------------------------------------


def found_by(setting, env=None, front=None):
    """Return what the probe finds, started by itself or behind `front`, the words of a cronlock."""
    for name in STREAMS:
        (home() / name).write_text("one\ntwo\n")
    probe = [sys.executable, "-IS", "-c", PROBE, str(home() / "found"), str(IOPRIO_SET + 1)]
    with contextlib.ExitStack() as stack:
        files = {name: stack.enter_context((home() / name).open("r+")) for name in STREAMS}
        kw = {**files, "close_fds": False, "preexec_fn": setting}
        if front:
            done = cronlock(*front, *probe, env=env, **kw)
        else:
            done = plain(*probe, env=environment(env), capture_output=False, **kw)
    assert (done.returncode, (home() / "stderr").read_text()) == (0, "one\ntwo\n")
    found = json.loads((home() / "found").read_text())
    found["SigIgn"] = int(found["SigIgn"], 16) & ~PYTHONS
    return found


def both(server, setting, env=None, options=None):
    """Return what the probe finds without and with cronlock; `options` are variables for cronlock only."""
    front = ("run", "--redis", server.url, "--key", "probe", "--schedule", "none", "--")
    return found_by(setting, env), found_by(setting, {**(env or {}), **(options or {})}, front)


def without_news(entries):
    """Return the environment without the variables of the run, which must be there."""
    news = {entry.partition("=")[0] for entry in entries if entry.startswith("CRONLOCK_RUN_")}
    assert news == {f"CRONLOCK_RUN_{name}" for name in ("KEY", "NODE", "TOKEN", "ATTEMPT")}
    return [entry for entry in entries if not entry.startswith("CRONLOCK_RUN_")]


def nowhere():
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")


def lower_limits():
    for name, limit in {"NOFILE": 64, "CORE": 0, "FSIZE": 10**9, "STACK": 1 << 22}.items():
        number = getattr(resource, f"RLIMIT_{name}")
        resource.setrlimit(number, (limit, resource.getrlimit(number)[1]))


def many_files():
    """As many as the kernel or this user's limit allows: too many to close one by one."""
    most, hard = int(Path("/proc/sys/fs/nr_open").read_text()), resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except ValueError:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def ignoring(*numbers):
    return lambda: [signal.signal(number, signal.SIG_IGN) for number in numbers]


def blocking(*numbers):
    return lambda: signal.pthread_sigmask(signal.SIG_BLOCK, numbers)


def closing(*fds):
    return lambda: [os.close(fd) for fd in fds]


INHERITED = {
    "nothing special": lambda: None,
    "nice": lambda: os.nice(5),
    "umask": lambda: os.umask(0o027),
    "lower limits": lower_limits,
    "many files": many_files,
    "another directory": lambda: os.chdir("/"),
    "a directory that is gone": nowhere,
    "some blocked signals": blocking(signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD),
    "all blocked signals": blocking(*FREE),
    "some ignored signals": ignoring(signal.SIGHUP, signal.SIGINT, signal.SIGTSTP),
    "all ignored signals": ignoring(*FREE),
    "one more open file": lambda: os.dup2(0, OPEN),
    "no stdin": closing(0),
    "no stdout": closing(1),
    "no stderr": closing(2),
    "no stdin and stderr": closing(0, 2),
    "no stdout and stderr": closing(1, 2),
    "none of the three": closing(0, 1, 2),
    "one processor": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    "batch": lambda: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)),
    "idle I/O": lambda: LIBC.syscall(IOPRIO_SET, 1, 0, 3 << 13),
    "first for the OOM killer": lambda: Path("/proc/self/oom_score_adj").write_text("500"),
    "no new privileges": lambda: LIBC.prctl(38, 1, 0, 0, 0),  # PR_SET_NO_NEW_PRIVS
    "a capability less": lambda: LIBC.prctl(24, 25, 0, 0, 0),  # PR_CAPBSET_DROP, CAP_SYS_TIME
    "slack timers": lambda: LIBC.prctl(29, 123_456, 0, 0, 0),  # PR_SET_TIMERSLACK
    "no random addresses": lambda: LIBC.personality(0x40000),  # ADDR_NO_RANDOMIZE
}


@pytest.mark.parametrize("setting", INHERITED)
def test_the_command_inherits_what_it_would_inherit_without_cronlock(server, setting):
    """Files and their positions, limits, signals, priorities, rights, folder, umask, environment: all of it."""
    usual, found = both(server, INHERITED[setting])
    found["environment"] = without_news(found["environment"])
    assert found == usual


def test_the_probe_sees_every_setting():
    """Otherwise the test above could not fail; some settings need root, two processors, or no container."""
    usual = found_by(None)
    unseen = {name for name, setting in INHERITED.items() if found_by(setting) == usual}
    unseen -= {"many files", "one processor", "idle I/O", "a capability less", "no random addresses"}
    assert unseen == {"nothing special"}


@pytest.mark.parametrize(("number", "kept"), [("CHLD", True), ("HUP", True), ("PIPE", False), ("XFSZ", False)])
def test_what_was_ignored_is_ignored_in_the_command_but_for_what_python_overwrites(local, number, kept):
    """SIGPIPE and SIGXFSZ are ignored by Python before any code of ours runs; env(1) behind cronlock ignores them."""
    bit = 1 << signal.Signals[f"SIG{number}"] - 1
    show = ("grep", "SigIgn", "/proc/self/status")
    started = ignoring(signal.Signals[f"SIG{number}"])

    def ignored(*words):
        return bool(int(cronlock(*local, *words, preexec_fn=started).stdout.split()[1], 16) & bit)

    assert ignored(*show) == kept
    assert ignored("env", f"--ignore-signal={number}", *show)


def test_a_broken_pipe_ends_the_command_as_ever(local):
    """Python ignores SIGPIPE and SIGXFSZ; a command that is no Python finds that they are not ignored."""
    done = cronlock(*local, "grep", "SigIgn", "/proc/self/status")
    assert int(done.stdout.split()[1], 16) & PYTHONS == 0


LOCALES = [
    {"LANG": "C"},
    {"LANG": None},
    {"LC_CTYPE": "C"},
    {"LC_CTYPE": "POSIX"},
    {"LC_CTYPE": "C.UTF-8"},
    {"LC_CTYPE": "", "LANG": "C"},
    {"LC_ALL": "POSIX"},
    {"LC_ALL": "C", "LC_CTYPE": "C"},
    {"LC_ALL": "xx_YY.latin1"},
    {"LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
]


@pytest.mark.parametrize("env", LOCALES, ids=str)
def test_the_locale_is_the_one_that_was_given(server, env):
    """Python puts LC_CTYPE into its own environment, and over what was there (PEP 538); not into the command's."""
    usual, found = both(server, None, env)
    assert without_news(found["environment"]) == usual["environment"]


def test_the_options_of_a_run_stay_behind_and_where_redis_is_does_not(server):
    """What is for this run, or tells of an outer one, is not for a cronlock inside the command."""
    stays = {"CRONLOCK_REDIS": server.url, "CRONLOCK_NODE": "a", "CRONLOCK_PREFIX": "other", "REDIS_PORT": "1"}
    goes = (
        "KEY=x ONCE=1 EACH=0 AGAIN=0 SCHEDULE=@daily TZ=UTC TTL=30s START_WITHIN=30s OUTAGE_WAIT=30s ON_OUTAGE=skip"
        " MAX_RUNTIME=1h KILL_AFTER=1s CONFLICT_EXIT_CODE=9 DRY_RUN=0 VERBOSE=0 QUIET=1 SYSLOG=0"
        " RUN_KEY=outer RUN_TICK=2026-11-20T02:00:00Z RUN_TOKEN=1 RUN_FUTURE=x"
    )
    usual, found = both(server, None, stays, dict(f"CRONLOCK_{word}".split("=") for word in goes.split()))
    assert without_news(found["environment"]) == usual["environment"]


def complaints(server):
    """Return how often the server got data that is not a command."""
    return server.client().info("errorstats").get("errorstat_ERR", {"count": 0})["count"]


@pytest.mark.parametrize("fds", [(2,), (0, 2), (1, 2), (0, 1, 2)], ids=str)
def test_a_message_without_a_stderr_goes_nowhere(server, fds):
    """It does not go into a socket or pipe with that number: the run continues, and every voter records its end."""
    words = ("run", "--redis", server.url, "--key", "job", "-v", "--ttl", "7s", "--tick")
    before = complaints(server)
    assert cronlock(*words, "2026-11-20T02:00Z", "--", "sh", "-c", "kill -9 $PPID").returncode == -signal.SIGKILL
    usual = complaints(server) - before
    [record] = server.client().keys("*:record:*")
    server.client().hset(record, "lease_end", 1)
    words += ("2026-11-20T03:00Z", "--", "sh", "-c", "sleep 0.2; echo > ran; exit 7")
    before = complaints(server)
    assert result(cronlock(*words, preexec_fn=closing(*fds))) == (7, "", "")
    assert complaints(server) - before == usual
    assert (home() / "ran").exists()
    state = server.client().hgetall(record)
    assert (state["state"], state["holder"]) == ("done", "")


ODD = [b"A=1", b"=x", b"word", b"A=2", b"=y=z", b"B", b"B=", b"", b"==", b"C=\xff\n=", b"LC_CTYPE=C", b"LC_CTYPE=POSIX"]


def test_an_environment_that_no_python_can_make_is_passed_on_as_far_as_possible(local):
    """Entries without a name or without a = are left out; of several with one name the first stays."""
    env = [f"{name}={value}".encode() for name, value in environment().items()]
    words = (sys.executable, "-m", "cronlock", *local, "cat", "/proc/self/environ")
    done = plain(sys.executable, "-c", LAUNCH, repr(ODD + env), *words)
    assert (done.returncode, done.stderr) == (0, b"")
    entries = [entry for entry in done.stdout.split(b"\0")[:-1] if not entry.startswith(b"CRONLOCK_RUN_")]
    assert sorted(entries) == sorted([b"A=1", b"B=", b"C=\xff\n=", b"LC_CTYPE=C", *env])


# -- the end -----------------------------------------------------------------------------------------------------------


def test_every_exit_status_and_every_deadly_signal_comes_through(local_key):
    """0 to 255, and 128+n for signal n, whatever the number means to cronlock itself."""
    dead = [6, 9, 10, 13, 14, 15, 25, 31, 34, 64]  # none that is ignored where nohup or a shell's & started the tests
    cases = [(f"exit {status}", status) for status in range(256)]
    cases += [(f"ulimit -c 0; kill -{number} $$", 128 + number) for number in dead]

    def statuses(part):
        words = ("run", "--local", "--key", f"{local_key}-{part}", "--schedule", "none", "--", "sh", "-c")
        scripts = [script for script, _ in cases[part::4]]
        done = call_all([Call((*words, script)) for script in scripts], at_once=1)
        return {script: each.returncode for script, each in zip(scripts, done, strict=True)}

    with ThreadPoolExecutor(4) as pool:
        found = {script: status for some in pool.map(statuses, range(4)) for script, status in some.items()}
    assert found == dict(cases)


def program(name, content=b"", mode=0o755):
    path = home() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("./plain", 126),  # no right to execute it
        ("./folder", 126),
        ("./plain/x", 126),  # under a file
        ("./loop", 126),  # a link to itself
        ("./locked", 126),  # an interpreter that is no program
        ("./none", 127),
        ("", 127),
        ("./dangling", 127),
        ("./orphan", 127),  # an interpreter that is not there
        ("./empty", 0),
        ("./broken", None),  # begins as a program does: what /bin/sh makes of it
        ("script", 3),  # on PATH, behind a folder and a file without the right that have its name
    ],
)
def test_what_cant_be_executed_gives_what_env_gives(local, word, status):
    """126 or 127; and what is no program is a script."""
    program("plain", mode=0o644)
    program("locked", f"#!{home()}/plain\n".encode())
    program("orphan", b"#!/no/such/interpreter\n")
    program("empty")
    program("broken", b"\x7fELF\x02\x01\x01" + bytes(range(256)))
    program("first/script/inner")
    program("second/script", mode=0o644)
    program("third/script", b"exit 3")
    (home() / "folder").mkdir()
    (home() / "loop").symlink_to("loop")
    (home() / "dangling").symlink_to("nothing")
    env = {"PATH": f"first:second:none:third:{os.environ['PATH']}"}
    done, usual = cronlock(*local, word, env=env, text=False), plain("env", word, env=environment(env))
    assert done.returncode == usual.returncode == (usual.returncode if status is None else status)
    assert done.stdout == usual.stdout
    if status in (126, 127):
        assert done.stderr.startswith(b"cronlock: test-")
        assert done.stderr.count(b"\n") == 1
    else:
        assert done.stderr == usual.stderr


@pytest.mark.parametrize("word", ["./bin/script", "script"])
def test_a_script_without_interpreter_line_gets_its_arguments_byte_by_byte(local, word):
    """/bin/sh makes $0 and $@ from the arguments."""
    program("bin/script", b"""printf '%s\\0' "$0" "$#" "$@" """)
    words = [word, "", " a  b ", "*", "$HOME", "\n", "-c", "--", "\udcff\udc80", "ü", ""]
    env = {"PATH": f"{home()}/bin:{os.environ['PATH']}"}
    usual = plain("env", *words, env=environment(env))
    assert usual.stdout.count(b"\0") == 12
    assert result(cronlock(*local, *words, env=env, text=False)) == result(usual)


# -- what goes through -------------------------------------------------------------------------------------------------


def digest(data):
    return len(data), hashlib.sha256(data).hexdigest()


def test_large_data_goes_through_stdin_and_stdout(local):
    """20 MB, byte by byte."""
    data = os.urandom(SIZE)
    done = cronlock(*local, "cat", input=data, text=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert digest(done.stdout) == digest(data)


def test_large_data_comes_from_stdout_and_stderr_at_once(local):
    """20 MB each, in the right stream."""
    one, two = os.urandom(SIZE), os.urandom(SIZE)
    (home() / "one").write_bytes(one)
    (home() / "two").write_bytes(two)
    done = cronlock(*local, "sh", "-c", "cat one & cat two >&2; wait", text=False)
    assert done.returncode == 0
    assert (digest(done.stdout), digest(done.stderr)) == (digest(one), digest(two))


def test_a_reader_that_has_enough_ends_the_command(local):
    """`cronlock run -- yes | head -1`: SIGPIPE, as without cronlock."""
    process = start_cronlock(*local, "yes", text=False)
    assert process.stdout.readline() == b"y\n"
    process.stdout.close()
    assert process.wait(PATIENCE) == 128 + signal.SIGPIPE
    assert process.stderr.read() == b""


def test_a_command_that_has_enough_ends_the_writer(local):
    """`yes | cronlock run -- head -1`: cronlock's own end of the pipe keeps nobody writing."""
    yes = subprocess.Popen(["yes"], stdout=subprocess.PIPE)
    try:
        process = start_cronlock(*local, "head", "-n1", stdin=yes.stdout, text=False)
        yes.stdout.close()
        assert process.communicate(timeout=PATIENCE) == (b"y\n", b"")
        assert yes.wait(PATIENCE) == -signal.SIGPIPE
    finally:
        yes.kill()
        yes.wait()


def test_a_stream_that_the_command_closes_is_closed(local):
    """The reader of its output and the writer of its input see the close while the command runs."""
    script = "echo bye; exec <&- >&-; sleep 60"
    process = start_cronlock(*local, "sh", "-c", script, stdin=subprocess.PIPE, text=False)
    assert process.stdout.readline() == b"bye\n"
    assert is_cut_off(process.stdout)
    assert is_cut_off(process.stdin)
    assert process.poll() is None
    end(process)  # before its file is removed


@pytest.mark.parametrize("silent", ["-q", "--syslog"])
def test_a_stderr_that_cronlock_does_not_write_to_is_closed_with_the_others(local, silent):
    """With nothing to say, or another place to say it."""
    words = (*local[:-1], silent, "--", "sh", "-c", "echo bye >&2; exec 2>&-; exec sleep 60")
    process = start_cronlock(*words, text=False)
    assert process.stderr.readline() == b"bye\n"
    assert is_cut_off(process.stderr)
    assert process.poll() is None
    end(process)


def test_a_stderr_that_cronlock_may_write_to_stays_open(local):
    """Also if the command has closed its copy: cronlock reports the reason of its end."""
    words = (*local[:-1], "--max-runtime", "1s", "--", "sh", "-c", "exec 2>&-; exec sleep 60")
    done = cronlock(*words)
    assert (done.returncode, done.stderr.count("timed out: ")) == (124, 1)


def test_an_open_file_that_the_command_closes_is_closed(local):
    """The reader of an inherited file sees the close while the command runs."""
    reader, writer = os.pipe()
    script = f"echo bye >&{writer}; exec {writer}>&-; exec sleep 60"
    process = start_cronlock(*local, "bash", "-c", script, pass_fds=[writer])
    os.close(writer)
    with open(reader, "rb") as stream:
        assert stream.readline() == b"bye\n"
        assert is_cut_off(stream)
    assert process.poll() is None
    end(process)


def test_a_lock_on_an_open_file_is_as_long_as_the_commands(local):
    """A lock of flock(2) belongs to the open file: the command keeps and releases it."""
    path = home() / "lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fd = file.fileno()
        script = f"touch up; until test -e go; do sleep 0.02; done; exec {fd}>&-; touch closed; exec sleep 60"
        process = start_cronlock(*local, "bash", "-c", script, pass_fds=[fd])
        wait_until((home() / "up").exists)
    with path.open("w") as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (home() / "go").touch()
        wait_until((home() / "closed").exists)
        wait_until(lambda: got(fcntl.flock, other), message="the lock")
    end(process)


def got(lock, file):
    """Return whether this lock is free."""
    with contextlib.suppress(BlockingIOError):
        lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def test_a_record_lock_of_whoever_became_cronlock_holds_during_the_run(local):
    """fcntl(2) locks belong to the process, the command can't have them: to close the file would give them up."""
    path = home() / "lock"
    path.touch()
    front = [sys.executable, "-c", TAKE_A_RECORD_LOCK]
    script = "touch up; until test -e go; do sleep 0.02; done"
    process = start_cronlock(*local, "sh", "-c", script, before=front)
    wait_until((home() / "up").exists)
    with path.open("w") as other:
        wait_until(lambda: inherited(process.pid) == {str(path)}, message="the other file to be closed")
        assert not got(fcntl.lockf, other)
        (home() / "go").touch()
        assert process.wait(PATIENCE) == 0
        assert got(fcntl.lockf, other)


@pytest.mark.parametrize("option", ["-v", "--syslog", "--max-runtime=1h", "--on-outage=run"])
def test_what_cronlock_opens_itself_closes_on_exec(local, option):
    """Other descriptors belong to the command: the command gets them, and cronlock closes its copies."""
    if option == "--on-outage=run":
        local = ("run", "--redis", "redis://127.0.0.1:1", "--outage-wait", "0", *local[2:])
    assert cronlock(*local[:-1], option, "--", "ls", "/proc/self/fd").stdout.split() == ["0", "1", "2", "3"]


def inherited(pid):
    """Return the descriptors from 3 on of a process that would not close on exec."""
    found = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        flags = int(Path(f"/proc/{pid}/fdinfo/{fd.name}").read_text().split("flags:")[1].split()[0], 8)
        if int(fd.name) > 2 and not flags & os.O_CLOEXEC:
            found.add(os.readlink(fd))
    return found


def is_cut_off(stream):
    """Return whether the other end of a pipe is closed in time."""
    poll = select.poll()
    poll.register(stream, 0)  # POLLHUP and POLLERR come unasked
    return bool(poll.poll(10_000))


def test_a_loop_over_lines_keeps_its_lines(local):
    """Input that the command does not read remains for the next command."""
    words = " ".join((sys.executable, "-m", "cronlock", *local))
    loop = f"while read -r line; do {words} echo $line; done; echo end"
    assert result(plain("sh", "-c", loop, input=b"1\n2\n3\n")) == (0, b"1\n2\n3\nend\n", b"")


# -- anything at all ---------------------------------------------------------------------------------------------------

texts = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b"-"))
words = texts | st.sampled_from([b"", b"-", b"--", b"-k", b"--key=x", b"--help", b"%s", b"\\0", b"\xff", b"\xc3\xbc"])
names = texts.filter(
    lambda name: (
        name
        and b"=" not in name
        and not name.startswith((b"CRONLOCK_", b"REDIS_", b"PYTHON", b"LD_", b"LC_", b"LANG"))
        and os.fsdecode(name) not in environment()
    )
)
locales = st.sampled_from([{}, {"LANG": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])


@EXAMPLES
@given(data=st.binary(max_size=100_000))
def test_any_input_becomes_any_output(local, data):
    """The meaning of the bytes does not matter."""
    assert result(cronlock(*local, "cat", input=data, text=False)) == (0, data, b"")


@EXAMPLES
@given(argv=st.lists(words, min_size=1, max_size=6), env=locales)
@example(argv=[bytes(range(1, 256))], env={})
@example(argv=[b"x" * 100_000], env={})
def test_any_arguments_arrive(server, argv, env):
    """Invalid UTF-8, empty ones and options among them."""
    done = cronlock(
        "run", "--redis", server.url, "--key", "job", "--schedule", "none", "printf", "%s\\0",
        *map(os.fsdecode, argv), env=env, text=False,
    )  # fmt: skip
    assert result(done) == (0, b"".join(word + b"\0" for word in argv), b"")


@EXAMPLES
@given(extra=st.dictionaries(names, texts, max_size=6), env=locales)
@example(extra={bytes(set(range(1, 256)) - {ord("=")}): bytes(range(1, 256))}, env={})
def test_any_environment_arrives(local, extra, env):
    """Names and values of any bytes."""
    env = {**env, **{os.fsdecode(name): os.fsdecode(value) for name, value in extra.items()}}
    done = cronlock(*local, "env", "-0", env=env, text=False)
    assert (done.returncode, done.stderr) == (0, b"")
    entries = [entry for entry in done.stdout.split(b"\0")[:-1] if not entry.startswith(b"CRONLOCK_RUN_")]
    assert sorted(entries) == sorted(os.fsencode(f"{name}={value}") for name, value in environment(env).items())
