"""Entry: a well-formed `run` goes straight to run/session.py, all else to click; the one place that exits."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # the working directory, whose select.py or json.py is not the library's

import gc
import os

from cronlock.config.options import scan
from cronlock.process.event_loop import occupy_standard_streams, signal


def main() -> None:
    """Exit with the status of the command line in sys.argv.

    At once: while Python tidies up, which takes milliseconds, a signal would replace the status.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback for a Ctrl-C before the handlers stand
    occupy_standard_streams()
    status = _status(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream:
                stream.flush()
        except OSError:  # the disk is full, or nobody reads any more
            status = status or 1
    os._exit(status)


def _status(words: list[str]) -> int:
    line = scan(words[1:]) if words[:1] == ["run"] else None
    if line is None:
        gc.enable()
        from cronlock.cli.app import cli

        return cli(words)
    gc.disable()  # walks over what the imports make take a millisecond, and find nothing; guard.py turns it on again
    from cronlock.run.session import run

    return run(*line, os.environ)


if __name__ == "__main__":
    main()
