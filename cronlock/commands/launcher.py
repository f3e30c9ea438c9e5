"""The launcher that `cronlock install` writes: a script that starts Python without Python's own start-up files.

Python's `site` module, which finds the packages of a virtual environment, takes a tenth of a start. The launcher has
its answer instead, the folders of packages, as they were at the time of `cronlock install`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from shlex import quote

from cronlock import __version__
from cronlock.errors import Refused

SHEBANG_MAX = 127  # bytes of a script's first line: what Linux before 5.1 reads of it
TIME_LIMIT = 60  # s for a start of Python on a slow or busy machine
ISOLATED = "-I"  # nothing is imported from the working directory, from PYTHONPATH, or from a home folder
WITHOUT_SITE = "-IS"
SHELL_SCRIPT = """\
#!/bin/sh
'''exec' {python} {flags} "$0" "$@"
'''  # a shell starts Python, because its path is too long for the first line of a script, or has a blank
"""
BODY = """\
# {comment}
import gc
import sys

gc.disable()  # until a command or another attempt: the imports of a start leave nothing to collect
sys.path += {folders}
try:
    from cronlock.__main__ import main
except ModuleNotFoundError as error:
    cure = "install cronlock there again, and repeat `cronlock install`"
    print(f"cronlock: {{error}}: {{sys.executable}} does not find it: {{cure}}", file=sys.stderr)
    sys.exit(125)

main()
"""


def launcher(comment: str) -> str:
    """Return the text of a launcher that starts the cronlock which is running. Raises Refused if none can.

    A comment of several lines has `# ` before each but the first.
    """
    python = sys.executable
    if zipfile.is_zipfile(sys.argv[0]):
        raise Refused(f"{sys.argv[0]} is a single file, which needs no launcher: copy it to a folder on cron's PATH")
    if not python.isprintable() or not python.startswith("/") or set(python) & set("'\\"):
        raise Refused(f"a launcher can't name the path of Python, {python!r}: install cronlock in another folder")
    added = [folder for folder in _search_path(python, ISOLATED) if folder not in _search_path(python, WITHOUT_SITE)]
    for flags, folders in ((WITHOUT_SITE, added), (ISOLATED, [])):
        text = _first_lines(python, flags) + BODY.format(comment=comment, folders=ascii(folders))
        if _starts_cronlock(python, flags, text):
            return text
    raise Refused(
        f"{python} finds cronlock only with variables or in a home folder: install it in a virtual environment"
    )


def _first_lines(python: str, flags: str) -> str:
    line = f"#!{python} {flags}\n"
    if " " in python or len(line.encode()) > SHEBANG_MAX:
        return SHELL_SCRIPT.format(python=quote(python), flags=flags)
    return line


def _search_path(python: str, flags: str) -> list[str]:
    """Return the folders where Python looks for modules."""
    found: list[str] = json.loads(_output(python, flags, "-c", "import json, sys; print(json.dumps(sys.path))"))
    return found


def _starts_cronlock(python: str, flags: str, text: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "cronlock")
        script.write_text(text, encoding="utf-8")
        return _output(python, flags, str(script), "--version") == f"cronlock, version {__version__}\n"


def _output(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
    return done.stdout
