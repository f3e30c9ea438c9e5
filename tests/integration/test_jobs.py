"""Job control over `cronlock run`: Ctrl-Z, fg, bg and & do to the job what they would do without it."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.commands import end, home, start_cronlock, wait_until
from tests.support.terminals import (
    BASH,
    DASH,
    PROMPT,
    READER,
    SLEEPER,
    command,
    command_pid,
    process,
    script,
    started,
    stopped,
)

BEATER = "while :; do echo >>beats; sleep 0.1; done"
IN_BASH = "cronlock run -- bash command"  # dash vforks: it can't stop when Ctrl-Z stops its child before the exec
STOPPED = r"^(\^Z)?\[1\] ?\+ +Stopped"
INNER = "inner> "


def beats():
    """Wait until the command has written again."""
    path = Path(home(), "beats")

    def size():
        return path.stat().st_size if path.exists() else 0

    before = size()
    wait_until(lambda: size() > before + 1, message="a sign of life of the command")


def suspend(terminal, pid):
    """Press Ctrl-Z, and wait until the whole job is stopped."""
    terminal.ctrl("Z")
    terminal.expect(STOPPED)
    terminal.prompt()
    wait_until(lambda: stopped(pid) and stopped(terminal.wrapper().pid), message="a stopped job")
    assert terminal.foreground() == terminal.pid


def bring_back(terminal):
    """Type fg, and wait until the shell has named the job."""
    terminal.enter("fg")
    terminal.expect("^(cronlock|sh|bash) .*?$")


def over(terminal, status):
    """Check that the job has ended with this status, and the shell has the terminal."""
    terminal.prompt()
    assert terminal.run("echo $?") == f"{status}\n"
    assert terminal.foreground() == terminal.pid
    wait_until(lambda: not terminal.processes(), message="the end of all processes")


@pytest.fixture(params=[BASH, DASH], ids=["bash", "dash"])
def either(request, open_terminal):
    """A terminal with each shell in turn."""
    terminal = open_terminal(*request.param)
    terminal.prompt()
    return terminal


def test_ctrl_z_stops_the_job_and_fg_goes_on(either):
    """Command and cronlock are stopped, the shell lists the job; after fg the command has the keyboard again."""
    pid = started(either, READER)
    for line in ("one", "two"):
        suspend(either, pid)
        assert "Stopped" in either.run("jobs")
        bring_back(either)
        either.enter(line)
        either.expect(f"^got={line}$")
        assert either.foreground() == process(pid).group
    either.ctrl("D")
    over(either, 0)


def test_bg_goes_on_without_the_keyboard_and_fg_gives_it_again(either):
    """In the background the command works and the shell keeps the terminal; after fg the keys are for the job again.

    bash sends no SIGCONT to a job that runs already: cronlock is not told that it has the foreground.
    """
    pid = started(either, BEATER, IN_BASH)
    for _ in range(2):
        suspend(either, pid)
        either.run("bg")
        beats()
        assert either.foreground() == either.pid
        assert "Running" in either.run("jobs")
        bring_back(either)
        wait_until(lambda: either.foreground() != either.pid, message="the job in the foreground")
        beats()
    either.ctrl("C")
    over(either, 130)


@pytest.mark.parametrize("where", ["</dev/null", "| cat", "</dev/null | cat"])
def test_ctrl_z_and_fg_work_when_input_or_output_is_elsewhere(terminal, where):
    """The key reaches only cronlock, and still the whole job stops and continues."""
    pid = started(terminal, BEATER, f"{IN_BASH} {where}")
    for _ in range(2):
        suspend(terminal, pid)
        bring_back(terminal)
        beats()
    terminal.ctrl("C")
    over(terminal, 130)


def test_a_job_in_the_background_stops_when_it_reads_and_goes_on_with_fg(either):
    """A job started with & must not read what is typed at the prompt."""
    pid = started(either, READER, "cronlock run -- sh command &")
    wait_until(lambda: stopped(pid) and stopped(either.wrapper().pid), message="a stopped job")
    assert either.foreground() == either.pid
    assert "Stopped" in either.run("jobs")
    bring_back(either)
    either.enter("hello")
    either.expect("^got=hello$")
    either.ctrl("D")
    over(either, 0)


def test_a_job_in_the_background_that_does_not_read_ends_by_itself(either):
    """A job started with & needs no attention."""
    started(either, "exit 3", "cronlock run -- sh command & wait $!")
    over(either, 3)


def test_a_job_after_bg_stops_again_when_it_reads(terminal):
    """bg does not give the keyboard; fg does."""
    pid = started(terminal, READER)
    suspend(terminal, pid)
    terminal.run("bg")
    wait_until(lambda: stopped(pid) and stopped(terminal.wrapper().pid), message="a stopped job")
    bring_back(terminal)
    terminal.enter("hello")
    terminal.expect("^got=hello$")
    terminal.ctrl("D")
    over(terminal, 0)


def test_with_tostop_a_job_in_the_background_stops_when_it_writes(terminal):
    """`stty tostop` holds for the command as for any other."""
    terminal.run("stty tostop")
    started(terminal, "echo written", "cronlock run -- sh command &")
    wait_until(lambda: stopped(terminal.wrapper().pid), message="a stopped job")
    assert "Stopped" in terminal.run("jobs")
    bring_back(terminal)
    terminal.expect("^written$")
    over(terminal, 0)


def test_a_script_without_job_control_stops_and_goes_on_as_a_whole(terminal):
    """`sh script` that calls cronlock is one job: the script's shell stops too."""
    script("script", "cronlock run -- sh command; echo next=$?")
    pid = started(terminal, READER, "sh script")
    for line in ("one", "two"):
        suspend(terminal, pid)
        wait_until(lambda: all(stopped(one.pid) for one in job(terminal)), message="a job stopped as a whole")
        bring_back(terminal)
        terminal.enter(line)
        terminal.expect(f"^got={line}$")
    terminal.ctrl("D")
    terminal.expect("^next=0$")
    over(terminal, 0)


def job(terminal):
    """The processes that the shell knows as one job."""
    return [one for one in terminal.processes() if one.group == terminal.wrapper().group]


def test_kill_ends_a_stopped_job(terminal):
    """The shell sends SIGTERM and SIGCONT: the command may tidy up, and nothing stays behind."""
    pid = started(terminal, "trap 'echo tidy; exit 7' TERM; echo set; while :; do sleep 0.1; done", IN_BASH)
    terminal.expect("^set$")
    suspend(terminal, pid)
    terminal.run("kill %1")
    wait_until(lambda: not terminal.processes(), message="the end of all processes")
    terminal.expect("tidy$")
    assert "Exit 7" in terminal.run("jobs")


def test_a_shell_that_exits_leaves_no_stopped_job(terminal):
    """The shell warns once, then ends the job: a command that can't be continued holds no lock."""
    pid = started(terminal, SLEEPER)
    suspend(terminal, pid)
    assert "stopped jobs" in terminal.run("exit")
    terminal.enter("exit")
    wait_until(lambda: not terminal.left(), message="the end of all processes")


def test_a_shell_inside_has_job_control_of_its_own(terminal):
    """An interactive shell as the command works fully, and does not disturb the outer shell."""
    script("inner", f"PS1='{INNER}' exec {' '.join(BASH)}")
    terminal.enter("cronlock run -- sh inner")
    assert "job control" not in terminal.prompt(INNER)
    own_jobs(terminal, INNER)
    terminal.enter("exit 3")
    terminal.prompt()
    assert terminal.run("echo $?") == "3\n"
    own_jobs(terminal, PROMPT)


def own_jobs(terminal, prompt):
    """Ctrl-Z, jobs, fg and Ctrl-C on a command without cronlock."""
    shell = terminal.foreground()
    sleeper = started(terminal, SLEEPER, "sh command")
    terminal.ctrl("Z")
    terminal.expect(STOPPED)
    terminal.prompt(prompt)
    assert stopped(sleeper)
    assert "Stopped" in terminal.run("jobs", prompt)
    terminal.enter("fg")
    terminal.expect("^sh command$")
    wait_until(lambda: not stopped(sleeper), message="the sleeper")
    terminal.ctrl("C")
    terminal.prompt(prompt)
    assert terminal.run("echo $?", prompt) == "130\n"
    assert terminal.foreground() == shell


def test_a_shell_inside_that_is_killed_leaves_the_terminal_to_the_script(terminal):
    """The dead shell could not return the foreground, so cronlock takes it back."""
    script("inner", f"PS1='{INNER}' exec {' '.join(BASH)}")
    script("script", "cronlock run -- sh inner; echo status=$?; read -r line; echo got=$line")
    terminal.enter("sh script")
    terminal.prompt(INNER)
    terminal.enter("kill -9 $$")
    terminal.expect("^status=137$")
    terminal.enter("hello")
    terminal.expect("^got=hello$")
    over(terminal, 0)


def test_a_shell_inside_can_be_suspended(terminal):
    """`suspend` is Ctrl-Z for a shell: the outer one says Stopped, and fg brings the inner one back."""
    script("inner", f"PS1='{INNER}' exec {' '.join(BASH)}")
    terminal.enter("cronlock run -- sh inner")
    terminal.prompt(INNER)
    for word in ("one", "two"):
        terminal.enter("suspend")
        terminal.expect(STOPPED)
        terminal.prompt()
        assert terminal.foreground() == terminal.pid
        assert stopped(terminal.wrapper().pid)
        terminal.enter("fg")
        terminal.prompt(INNER)
        assert terminal.run(f"echo {word}", INNER) == f"{word}\n"
    terminal.enter("exit 4")
    over(terminal, 4)


def test_a_job_stopped_past_its_lease_is_ended(terminal):
    """Another node may start the command then: the job ends before its lease, with status 123."""
    pid = started(terminal, SLEEPER, "cronlock run --ttl 7s --kill-after 1s -- sh command")
    suspend(terminal, pid)
    wait_until(lambda: not process(pid), timeout=20, message="the end of the command")
    terminal.enter("fg; echo status=$?")
    terminal.expect("^status=123$|Exit 123")
    wait_until(lambda: not terminal.processes(), message="the end of all processes")


@pytest.fixture
def daemon(local_key):
    """cronlock in a session of its own, without a terminal."""
    words = ("run", "--local", "--key", local_key, "--schedule", "none", "--", "bash", "command")
    command(BEATER)
    wrapper = start_cronlock(*words, start_new_session=True)
    yield wrapper, command_pid()
    end(wrapper)


def test_without_a_terminal_the_stop_signal_stops_the_command_and_cont_continues_it(daemon):
    """Signals to cronlock reach the command: other programs know only cronlock's pid."""
    wrapper, pid = daemon
    for _ in range(2):
        wrapper.send_signal(signal.SIGTSTP)
        wait_until(lambda: stopped(pid), message="a stopped command")
        wrapper.send_signal(signal.SIGCONT)
        wait_until(lambda: not stopped(pid), message="a command that goes on")
        beats()
    wrapper.send_signal(signal.SIGTERM)
    assert wrapper.wait(20) == 128 + signal.SIGTERM


def test_without_a_terminal_a_sigcont_that_comes_sooner_than_cronlocks_stop_counts(daemon):
    """The sender sees the command stop, and continues it before cronlock has stopped itself."""
    wrapper, pid = daemon
    for _ in range(50):
        wrapper.send_signal(signal.SIGTSTP)
        wait_until(lambda: stopped(pid), message="a stopped command", interval=0)
        wrapper.send_signal(signal.SIGCONT)
        wait_until(lambda: not stopped(pid), message="a command that continues")


def test_without_a_terminal_cronlock_does_not_stop_with_a_stopped_command(daemon):
    """No program would continue cronlock: it keeps the lease, and records the command's end."""
    wrapper, pid = daemon
    for _ in range(2):
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: stopped(pid), message="a stopped command")
        with pytest.raises(AssertionError):
            wait_until(lambda: stopped(wrapper.pid), timeout=0.5)
        assert stopped(pid)
        os.kill(pid, signal.SIGCONT)
        beats()
    os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    assert wrapper.wait(20) == 128 + signal.SIGKILL


def test_without_a_terminal_an_old_stop_signal_is_forgotten(local_key):
    """A later stop of a command that ignored SIGTSTP does not stop cronlock."""
    words = ("run", "--local", "--key", local_key, "--schedule", "none", "--", "bash", "command")
    command(f"trap '' TSTP; {BEATER}")
    wrapper = start_cronlock(*words, start_new_session=True)
    pid = command_pid()
    beats()
    wrapper.send_signal(signal.SIGTSTP)
    beats()
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: stopped(pid), message="a stopped command")
    with pytest.raises(AssertionError):
        wait_until(lambda: stopped(wrapper.pid), timeout=0.5)
    os.kill(pid, signal.SIGCONT)
    beats()
    end(wrapper)
