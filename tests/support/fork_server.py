"""cronlock without its start: a process has imported it, and forks for each command line.

One for `run`, which has only what a run imports: the less there is, the faster it forks. One for all else.
"""

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

from tests.support.commands import environment, heir, home, new_folder, wait_until
from tests.support.processes import descendants

AT_ONCE = 16  # most of them wait for servers that don't answer
PATIENCE = 100.0  # s for one of them
OUTPUT = 10_000_000  # bytes: more than any of them prints
CODE = """
import contextlib, gc, importlib, json, os, pkgutil, select, socket, sys, traceback
from cronlock.__main__ import main
if sys.argv[2] == "run":
    import cronlock.cron.crontab, cronlock.cron.schedule, cronlock.lock.lease
    import cronlock.run.session, cronlock.run.supervisor, cronlock.servers.redis_voters
else:
    import click._textwrap, cronlock.cli.app, email.parser, encodings.idna, redis, rich.console, rich.table, secrets
    for module in pkgutil.walk_packages(cronlock.__path__, "cronlock."):
        importlib.import_module(module.name)

def be_cronlock(words, env, folder, fds):
    os.chdir(folder)
    for own, fd in enumerate(fds):
        os.dup2(fd, own)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["cronlock", *words]
    try:
        main()
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(99)

def answer(connection, number):
    with contextlib.suppress(OSError):  # nobody waits for it any more
        connection.sendall(b"%d\\n" % number)

def serve(connection):
    text, fds, _, _ = socket.recv_fds(connection, 1 << 16, 4)
    while not text.endswith(b"\\n"):
        text += connection.recv(1 << 16)
    request = json.loads(text)
    pid = os.fork()
    if not pid:
        os.setpgid(0, 0)
        be_cronlock(*request, fds)
    for fd in fds:
        os.close(fd)
    answer(connection, pid)
    pidfd = os.pidfd_open(pid)
    running[pidfd] = pid, connection
    events.register(pidfd, select.POLLIN)

def report(pidfd):
    events.unregister(pidfd)
    os.close(pidfd)
    pid, connection = running.pop(pidfd)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    answer(connection, status)
    connection.close()

listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(64)
events, running = select.poll(), {}
events.register(listener, select.POLLIN)
gc.collect()
gc.freeze()  # what is never looked at stays shared
while True:
    for fd, _ in events.poll():
        if fd in running:
            report(fd)
        else:
            serve(listener.accept()[0])
"""


class Call(NamedTuple):
    """A command line, what its environment gains, and its HOME, which is the test's unless another is given."""

    words: Sequence[str]
    env: Mapping[str, str] = {}
    folder: Path | None = None


@functools.cache
def _address(kind: str) -> str:
    """Return the address of the server of this kind, which lives as long as this process does."""
    folder = new_folder()
    path = folder / "fork-server"
    base = environment() | {"HOME": str(folder)}  # the HOME of a test goes with it
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(path), kind],
        env=base,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    heir().tell(f"+pid {process.pid}")
    wait_until(path.exists, 30, "the fork server")
    return str(path)


def run_forked(
    words: Sequence[str], env: Mapping[str, str], folder: Path, text: str | None = None, timeout: float = PATIENCE
) -> CompletedProcess[str]:
    """Run this command line to its end in `folder`, with this whole environment, and `text` as its standard input.

    Raises TimeoutExpired after `timeout` seconds, and ends it.
    """
    address = _address("run" if words[:1] == ["run"] else "")
    given = os.open(os.devnull, os.O_RDWR) if text is None else os.memfd_create("in")
    if text is not None:
        os.write(given, text.encode())
        os.lseek(given, 0, os.SEEK_SET)
    fds = (given, os.memfd_create("out"), os.memfd_create("err"))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        wait_until(lambda: connection.connect_ex(address) == 0, message="the fork server")
        socket.send_fds(connection, [b" "], fds)
        connection.sendall(json.dumps((list(map(str, words)), dict(env), str(folder))).encode() + b"\n")
        with connection.makefile() as answers:
            pid = int(answers.readline())
            try:
                status = int(answers.readline())
            except TimeoutError:
                for one in (pid, *descendants(pid)):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(one, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(words), timeout) from None
    out, err = (os.pread(fd, OUTPUT, 0).decode("utf-8", "replace") for fd in fds[1:])
    for fd in fds:
        os.close(fd)
    return CompletedProcess(words, status, out, err)


def call_all(calls: Sequence[Call], at_once: int = AT_ONCE) -> list[CompletedProcess[str]]:
    """Return the result of each call; in their order, where one is done at a time."""
    asked = [(list(call.words), environment(call.env) | {"HOME": str(call.folder or home())}) for call in calls]
    for kind in {"run" if words[:1] == ["run"] else "" for words, _ in asked}:
        _address(kind)  # before there are threads
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda call: run_forked(call[0], call[1], Path(call[1]["HOME"])), asked))
