"""A script that starts commands and times them, run by a bare Python that stays small."""

import gc
import os
import sys
import time

WORD, FIELD = "\x1f", "\x1e"  # separators of words or variables, and of commands


def run(commands: list[list[str]], env: dict[str, str], said: int) -> list[str]:
    """Start commands as cron does: each in a session of its own, without stdin, and with output to a file."""
    actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
    outputs = [(os.POSIX_SPAWN_DUP2, said, 1), (os.POSIX_SPAWN_DUP2, said, 2)]
    begun: dict[int, tuple[int, float, float]] = {}
    for number, words in enumerate(commands):
        at, since = time.time(), time.perf_counter()
        pid = os.posix_spawn(words[0], words, env, file_actions=actions + outputs, setsid=True)
        begun[pid] = number, at, since
    answers = [""] * len(commands)
    while begun:
        pid, status, used = os.wait4(-1, 0)
        end, ended = time.perf_counter(), time.time()
        number, at, since = begun.pop(pid)
        cpu = used.ru_utime + used.ru_stime
        code = os.waitstatus_to_exitcode(status)
        answers[number] = f"{at:.6f} {ended:.6f} {end - since:.6f} {cpu:.6f} {used.ru_maxrss} {code}"
    return answers


def main() -> None:
    gc.disable()
    said = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for line in sys.stdin:
        variables, *commands = line.rstrip("\n").split(FIELD)
        env = dict(variable.split("=", 1) for variable in variables.split(WORD))
        sys.stdout.write(FIELD.join(run([command.split(WORD) for command in commands], env, said)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
