"""Entry point: passes a well-formed `run` to run/session.py and all else to click; the only place that exits."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # the working directory, whose select.py or json.py is not the library's

import gc
import os

from cronlock.config.options import scan
from cronlock.process.event_loop import occupy_standard_streams, signal

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from cronlock.config.settings import Settings
    from cronlock.run.plan import Plan
    from cronlock.run.waiting import Display


def main() -> None:
    """Exit with the status of the command line in sys.argv.

    The exit skips Python's clean-up: it takes milliseconds, in which a signal would replace the status.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback for a Ctrl-C before the handlers are set
    occupy_standard_streams()
    status = _status(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream:
                stream.flush()
        except OSError:  # the disk is full, or the reader has gone
            status = status or 1
    os._exit(status)


def _status(words: list[str]) -> int:
    line = scan(words[1:]) if words[:1] == ["run"] else None
    if line is None:
        gc.enable()
        from cronlock.cli.app import cli

        return cli(words, run)
    gc.disable()  # a collection takes a millisecond and finds nothing after the imports; guard.py enables it again
    return run(*line, os.environ)


def run(given: "Mapping[str, Any]", argv: "Sequence[str]", environ: "Mapping[str, str]") -> int:
    """Do `cronlock run` with the options `given`; return the exit status."""
    from cronlock.run.session import run

    return run(given, argv, environ, _show_plan, _progress)


def _show_plan(settings: "Settings", plan: "Plan", argv: "Sequence[str]") -> int:
    from cronlock.commands.dry_run import show

    return show(settings, plan, argv)


def _progress(key: str, what: str) -> "Display":
    from cronlock.output.progress import WaitingLine

    return WaitingLine(key, what)


if __name__ == "__main__":
    main()
