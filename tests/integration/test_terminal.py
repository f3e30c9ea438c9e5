"""`cronlock run` at a terminal: the keys, the foreground and the modes are as they would be without it."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.support.commands import cronlock, home, wait_until
from tests.support.terminals import BASH, DASH, READER, SLEEPER, command, command_pid, process, script, started, stopped

PAGER = "less" if shutil.which("less") else "more"


def test_the_command_reads_what_is_typed(terminal):
    """A typed line reaches the command, and Ctrl-D ends its input."""
    started(terminal, READER)
    terminal.enter("hello")
    terminal.expect("^got=hello$")
    terminal.ctrl("D")
    terminal.prompt()
    assert terminal.run("echo $?") == "0\n"


def test_the_command_has_the_foreground_from_its_first_moment_to_its_last(terminal):
    """It never reads or writes too early; afterwards the shell has the terminal again."""
    script("looks", "read -r _ _ _ _ group _ _ foreground _ </proc/$$/stat; echo own=$((group == foreground))")
    terminal.enter("for i in 1 2 3 4 5; do cronlock run -- sh looks; done")
    for _ in range(5):
        assert terminal.expect(r"^own=(\d)$")[1] == "1"
    terminal.prompt()
    leader = process(started(terminal, READER))
    assert terminal.foreground() == leader.group
    assert leader.group not in (terminal.pid, terminal.wrapper().group)
    terminal.ctrl("D")
    terminal.prompt()
    assert terminal.foreground() == terminal.pid


@pytest.mark.parametrize("words", [BASH, DASH], ids=["bash", "dash"])
@pytest.mark.parametrize(("key", "status"), [("C", 130), ("\\", 131)], ids=["Ctrl-C", "Ctrl-Backslash"])
def test_a_key_that_ends_the_command_gives_the_prompt_back(open_terminal, words, key, status):
    """The command dies of the signal, cronlock ends with it, and nothing is left behind."""
    terminal = open_terminal(*words)
    terminal.prompt()
    started(terminal, SLEEPER)
    terminal.ctrl(key)
    terminal.prompt()
    assert terminal.run("echo $?") == f"{status}\n"
    assert terminal.foreground() == terminal.pid
    wait_until(lambda: not terminal.processes(), message="the end of all processes")


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize(
    "lines",
    [
        "cronlock run -- sh command; echo next",
        "for i in 1 2 3; do cronlock run -- sh command; echo next; done",
        "cronlock run -- sh command </dev/null; echo next",
    ],
    ids=["line", "loop", "elsewhere"],
)
def test_ctrl_c_ends_the_script_around_it(terminal, shell, lines):
    """A script that called cronlock gets the SIGINT too: nothing of it runs after Ctrl-C."""
    script("script", lines)
    started(terminal, SLEEPER, f"{shell} script")
    terminal.ctrl("C")
    assert "next" not in terminal.prompt()
    assert terminal.run("echo $?") == "130\n"
    wait_until(lambda: not terminal.processes(), message="the end of all processes")


def test_ctrl_c_ends_a_loop_typed_at_the_prompt(terminal):
    """The shell sees that SIGINT ended cronlock, not a status of 130: the loop stops."""
    started(terminal, f"echo turn; {SLEEPER}", "for i in 1 2 3; do cronlock run -- sh command; done")
    terminal.expect("^turn$")
    terminal.ctrl("C")
    assert "turn" not in terminal.prompt()
    assert terminal.run("echo $?") == "130\n"
    wait_until(lambda: not terminal.processes(), message="the end of all processes")


def test_ctrl_c_that_the_command_handles_ends_nothing_else(terminal):
    """A program with its own idea of Ctrl-C keeps its status, and a script around it goes on."""
    script("script", "cronlock run -- bash command; echo next=$?")
    started(terminal, "trap 'echo caught; exit 5' INT; echo set; read -r line", "bash script")
    terminal.expect("^set$")
    terminal.ctrl("C")
    terminal.expect("caught$")
    terminal.expect("^next=5$")
    terminal.prompt()


@pytest.mark.parametrize("who", ["itself", "another"])
def test_a_sigint_that_was_not_typed_ends_the_command_only(terminal, who):
    """kill -INT is not Ctrl-C: a script around cronlock continues."""
    script("script", "cronlock run -- sh command; echo next=$?")
    pid = started(terminal, "kill -INT $$" if who == "itself" else SLEEPER, "sh script")
    if who == "another":
        os.kill(pid, signal.SIGINT)
    terminal.expect("^next=130$")
    terminal.prompt()


@pytest.mark.parametrize("where", ["</dev/null", "2>&1 | cat", "</dev/null 2>&1 | cat"])
def test_the_foreground_is_not_taken_when_input_or_output_is_elsewhere(terminal, where):
    """The other programs of a pipe keep the keyboard; Ctrl-C still ends the command."""
    leader = process(started(terminal, SLEEPER, f"cronlock run -- sh command {where}"))
    assert leader.group != terminal.foreground() == terminal.wrapper().group
    terminal.ctrl("C")
    terminal.prompt()
    wait_until(lambda: not terminal.processes(), message="the end of all processes")
    assert terminal.foreground() == terminal.pid


@pytest.mark.parametrize(
    "line",
    [
        f"cronlock run -- seq 100000 | TERM=xterm {PAGER}",
        f"seq 100000 > numbers; cronlock run -- env TERM=xterm {PAGER} numbers",
        f"seq 100000 | cronlock run -- env TERM=xterm {PAGER}",
    ],
    ids=["behind", "inside", "inside-and-behind"],
)
def test_a_pager_gets_its_keys(terminal, line):
    """A full-screen program works on either side of a pipe, and leaves the terminal as it was."""
    before = terminal.run("stty -g")
    terminal.enter(line)
    terminal.expect(r"(?<!\d)22(?!\d)")
    terminal.type(" ")
    terminal.expect(r"(?<!\d)44(?!\d)")
    terminal.type("q")
    terminal.prompt()
    assert terminal.run("stty -g") == before
    wait_until(lambda: not terminal.processes(), message="the end of all processes")


def test_a_pipe_in_front_is_the_commands_input(terminal):
    """What the program before it writes is read to the end."""
    assert "<data>\n" in terminal.run("echo data | cronlock run -- sed 's/.*/<&>/'")


def test_a_command_that_asks_the_terminal_itself_gets_it_on_demand(terminal):
    """Its input is a pipe, so it did not get the foreground; reading /dev/tty gets it, as with ssh or sudo."""
    terminal.enter("echo data | cronlock run -- sh -c 'cat; echo ask; read -r line </dev/tty; echo got=$line'")
    terminal.expect("^data$")
    terminal.expect("^ask$")
    terminal.enter("hello")
    terminal.expect("^got=hello$")
    terminal.prompt()
    assert terminal.run("echo $?") == "0\n"
    assert terminal.foreground() == terminal.pid


SUBSTITUTION = "x=$(cronlock run -- sh -c 'echo ask >&2; read -r line; echo $line'); echo got=$x"


def test_a_command_substitution_can_ask_the_terminal(terminal):
    """Its output is a pipe; the script that it stands in gets the terminal back."""
    script("script", f"{SUBSTITUTION}; read -r line; echo then=$line")
    terminal.enter("sh script")
    terminal.expect("^ask$")
    terminal.enter("hello")
    terminal.expect("^got=hello$")
    terminal.enter("there")
    terminal.expect("^then=there$")
    terminal.prompt()


def test_a_command_substitution_at_the_prompt_can_ask_the_terminal(terminal):
    """A shell with job control has it ignore SIGTTIN (bash(1)): it never stops, reading would only fail."""
    terminal.enter(SUBSTITUTION)
    terminal.expect("^ask$")
    terminal.enter("hello")
    terminal.expect("^got=hello$")
    terminal.prompt()
    assert terminal.foreground() == terminal.pid


def test_a_command_killed_in_raw_mode_leaves_a_sane_terminal(terminal):
    """A command killed by a signal can't restore the modes: cronlock restores them."""
    before = terminal.run("stty -g")
    terminal.run("cronlock run -- sh -c 'stty raw -echo; kill -9 $$'")
    assert terminal.run("echo $?") == "137\n"
    assert terminal.run("stty -g") == before


def test_modes_that_the_command_set_on_purpose_stay(terminal):
    """A command that ended by itself meant what it did: stty works under cronlock."""
    assert " -tostop" in terminal.run("stty -a")
    terminal.run("cronlock run -- stty tostop")
    assert " tostop" in terminal.run("stty -a")


def test_the_command_gets_sigwinch_from_a_resized_window(terminal):
    """The terminal signals its foreground group, which is the command's."""
    started(
        terminal, "trap 'stty size; exit' WINCH; echo set; while :; do sleep 0.1; done", "cronlock run -- bash command"
    )
    terminal.expect("^set$")
    terminal.resize(30, 100)
    terminal.expect("^30 100$")
    terminal.prompt()


@pytest.mark.parametrize("job", ["foreground", "background", "stopped"])
def test_a_hangup_ends_the_command_and_cronlock(terminal, local_key, job):
    """After the window is closed no process is left, and the key is free."""
    pid = started(terminal, SLEEPER, "cronlock run -- sh command" + (" &" if job == "background" else ""))
    if job == "stopped":
        terminal.ctrl("Z")
        terminal.expect("Stopped")
        wait_until(lambda: stopped(pid), message="a stopped command")
    terminal.hang_up()
    wait_until(lambda: not terminal.left(), message="the end of all processes")
    assert cronlock("run", "--local", "--key", local_key, "--schedule", "none", "--", "echo", "free").stdout == "free\n"


def test_a_job_that_ends_in_the_background_leaves_the_foreground_alone(terminal):
    """The group that has the terminal by then keeps it."""
    started(terminal, "until [ -e go ]; do sleep 0.1; done", "cronlock run -- sh command &")
    terminal.enter("cat")
    wait_until(lambda: terminal.foreground() != terminal.pid, message="cat in the foreground")
    group = terminal.foreground()
    Path(home(), "go").touch()
    wait_until(lambda: len(terminal.processes()) == 1, message="the end of the job")
    assert terminal.foreground() == group
    terminal.enter("hello")
    terminal.expect("^hello$")
    terminal.expect("^hello$")


def test_without_job_control_a_stop_that_no_key_made_stands(open_terminal):
    """The kernel ignores Ctrl-Z in an orphaned group, but not SIGSTOP: its sender continues the job."""
    command(READER)
    terminal = open_terminal("cronlock", "run", "--", "sh", "command")
    pid = command_pid()
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: stopped(pid))
    with pytest.raises(AssertionError):
        wait_until(lambda: not stopped(pid), timeout=0.5)
    os.kill(pid, signal.SIGCONT)
    terminal.enter("one")
    terminal.expect("^got=one$")


@pytest.mark.parametrize("words", [["cronlock", "run", "--", "sh", "command"], ["sh", "script"]], ids=["itself", "sh"])
def test_without_job_control_ctrl_z_is_ignored_and_ctrl_c_is_not(open_terminal, words):
    """In `docker run -it` no shell could continue a stopped job: neither the kernel nor cronlock stops it."""
    command(READER)
    script("script", "cronlock run -- sh command; echo next")
    terminal = open_terminal(*words)
    pid = command_pid()
    for line in ("one", "two"):
        terminal.ctrl("Z")
        terminal.expect(r"\^Z")
        terminal.enter(line)
        terminal.expect(f"^got={line}$")
    assert not stopped(pid)
    terminal.ctrl("C")
    wait_until(lambda: not terminal.left(), message="the end of all processes")
