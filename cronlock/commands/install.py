"""`cronlock install`: what cron, man and the shells look for below a prefix: launcher, man pages and completion.

Every file has a mark, and no file without the mark is replaced or removed. The launcher's comment names the folders
that were created for the files: they are removed with the last of them.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cronlock import __version__
from cronlock.commands.check.cron_path import path_of_cron
from cronlock.commands.launcher import launcher
from cronlock.cron.crontab import Sources
from cronlock.errors import CronlockError, Refused
from cronlock.files import read_regular
from cronlock.messages import Messages, printable
from cronlock.output.completion_scripts import SCRIPTS
from cronlock.output.table import Printer

if TYPE_CHECKING:
    from cronlock.commands.invocation import Invocation

PREFIX = "/usr/local"
LAUNCHER = "bin/cronlock"
MAN_PAGES = ("share/man/man1/cronlock.1", "share/man/man5/cronlock.toml.5")
COMPLETION = {  # where each shell looks, below the folders of XDG_DATA_DIRS or of zsh's fpath
    "share/bash-completion/completions/cronlock": "bash",
    "share/zsh/site-functions/_cronlock": "zsh",
    "share/fish/vendor_completions.d/cronlock.fish": "fish",
}
NAMES = (LAUNCHER, *MAN_PAGES, *COMPLETION)
# Never change the two texts: files that an earlier version wrote are known by them.
MARK = "Written by `cronlock install`; `cronlock install --uninstall` removes it."
CREATED = "Folders that it created: "
FILE_MAX = 1_000_000  # bytes, more than any of the files has
FOLDER_MODE, PROGRAM_MODE, TEXT_MODE = 0o755, 0o755, 0o644  # whatever the umask: every user's crontab may need them
OTHERS_MAY_ENTER = stat.S_IXOTH


def install(invocation: Invocation) -> int:
    """Write what differs from this installation's files, or remove all of them; return 0, or 125 if that is refused."""
    options = invocation.command_options
    try:
        place = Place(_prefix(options), bool(options.get("dry-run")))
        for line in place.uninstall() if options.get("uninstall") else place.install():
            Printer().write(f"{printable(line)}\n")
    except CronlockError as error:
        Messages("install").error(error)
        return error.status
    return 0


def _prefix(options: Mapping[str, Any]) -> Path:
    prefix = Path(os.path.abspath(os.path.expanduser(options.get("prefix", PREFIX))))
    if not prefix.parent.is_dir():
        raise Refused(f"{prefix.parent} is not a folder: create it, or pass another --prefix")
    return prefix


class Place:
    """The folder that the files are below, and what is changed there; in a dry run nothing is."""

    def __init__(self, prefix: Path, dry_run: bool) -> None:
        self._prefix, self._dry_run = prefix, dry_run

    def install(self) -> Iterator[str]:
        """Write the files that differ; yield a line for each, and then advice."""
        if foreign := [str(self._prefix / name) for name in NAMES if self._is_foreign(name)]:
            raise Refused(f"not written by `cronlock install`: remove {', '.join(foreign)}, or pass another --prefix")
        created = self._missing_folders()
        contents = _contents([*self._created(), *created])
        changed = [name for name, content in contents.items() if self._differs(name, content)]
        self._require_right_to_change(changed)
        for name in changed:
            verb = ("would update", "updated") if self._read(name) else ("would write", "wrote")
            if not self._dry_run:
                self._write(name, contents[name])
            yield f"{verb[not self._dry_run]} {self._prefix / name}"
        if not changed:
            yield f"nothing to do: {len(contents)} files below {self._prefix} are those of cronlock {__version__}"
        yield from _advice(self._prefix / LAUNCHER, contents)

    def uninstall(self) -> Iterator[str]:
        """Remove the files, and the folders that were created for them; yield a line for each file."""
        created = self._created()
        own = [name for name in NAMES if self._read(name)]
        self._require_right_to_change(own)
        for name in own:
            if not self._dry_run:
                _remove(self._prefix / name)
            yield f"{'would remove' if self._dry_run else 'removed'} {self._prefix / name}"
        if not own:
            yield f"nothing to do: `cronlock install` has no file below {self._prefix}"
        for folder in sorted(created, key=len, reverse=True) if not self._dry_run else ():
            with suppress(OSError):  # another program uses it too
                (self._prefix / folder).rmdir()

    def _read(self, name: str) -> bytes:
        """Return the content of one of cronlock's files; empty when it is missing, or is not cronlock's."""
        path = self._prefix / name
        try:
            content = b"" if path.is_symlink() else read_regular(str(path), FILE_MAX)[0]
        except OSError:
            return b""
        return content if MARK.encode() in content else b""

    def _is_foreign(self, name: str) -> bool:
        return os.path.lexists(self._prefix / name) and not self._read(name)

    def _differs(self, name: str, content: str) -> bool:
        if self._read(name) != content.encode():
            return True
        return stat.S_IMODE((self._prefix / name).stat().st_mode) != _mode(name)

    def _missing_folders(self) -> list[str]:
        return [name for name in _parents() if not (self._prefix / name).exists()]

    def _created(self) -> list[str]:
        """Return the folders that earlier calls created; other names in a launcher that was edited are left out."""
        lines = self._read(LAUNCHER).decode(errors="replace").splitlines()
        named = next((line.partition(CREATED)[2] for line in lines if CREATED in line), "").split()
        return [name for name in _parents() if name in named]

    def _require_right_to_change(self, names: Sequence[str]) -> None:
        """Raise Refused before the first change, if one of them would fail; a dry run needs no right."""
        for name in names if not self._dry_run else ():
            _require_right_to_write((self._prefix / name).parent)

    def _write(self, name: str, content: str) -> None:
        """Replace a file at once: cron may start the launcher at any moment."""
        path = self._prefix / name
        try:
            _create(path.parent)
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=path.parent, prefix=".cronlock-", delete=False
            ) as file:
                try:
                    file.write(content)
                    file.flush()
                    os.fchmod(file.fileno(), _mode(name))
                    os.fsync(file.fileno())
                    os.replace(file.name, path)
                except BaseException:
                    os.unlink(file.name)
                    raise
        except OSError as error:
            raise Refused(f"can't write {path}: {error.strerror}") from None


def _create(folder: Path) -> None:
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir()
        missing.chmod(FOLDER_MODE)


def _mode(name: str) -> int:
    return PROGRAM_MODE if name == LAUNCHER else TEXT_MODE


def _parents() -> list[str]:
    """Return the folders of all files, outer ones first; `.` is the prefix."""
    return sorted(
        {str(parent) for name in NAMES for parent in Path(name).parents}, key=lambda name: (name != ".", name)
    )


def _contents(created: Sequence[str]) -> dict[str, str]:
    """Return the text of each file; of an installation without man pages, no text for these."""
    comment = f"{MARK}\n# {CREATED}{' '.join(dict.fromkeys(created))}" if created else MARK
    pages = {name: f'{text.rstrip()}\n.\\" {MARK}\n' for name, text in _man_pages()}
    scripts = {name: f"{SCRIPTS[shell]}# {MARK}\n" for name, shell in COMPLETION.items()}
    return {LAUNCHER: launcher(comment), **pages, **scripts}


def _man_pages() -> Iterator[tuple[str, str]]:
    with suppress(PackageNotFoundError, OSError):
        for file in files("cronlock") or ():
            name = next((name for name in MAN_PAGES if str(file).endswith(name)), "")
            if name:
                yield name, Path(str(file.locate())).read_text(encoding="utf-8")


def _require_right_to_write(folder: Path) -> None:
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise Refused(f"{folder} is not a folder: remove it, or pass another --prefix")
    if not os.access(folder, os.W_OK | os.X_OK):
        cure = "run this as root, or pass --prefix ~/.local" if os.geteuid() else "pass another --prefix"
        raise Refused(f"no right to write to {folder}: {cure}")


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise Refused(f"can't remove {path}: {error.strerror}") from None


def _advice(program: Path, contents: Mapping[str, str]) -> Iterator[str]:
    """Yield what an operator still has to know: about PATH, other users, and what is missing."""
    folder, path = str(program.parent), path_of_cron(Sources().cron)
    if folder not in path.split(":"):
        yield f"cron does not look in {folder}: write PATH={folder}:{path} above its lines, or {program} into them"
    closed = [part for part in Path(sys.executable).parents if not part.stat().st_mode & OTHERS_MAY_ENTER]
    if closed and not os.geteuid():
        yield f"only root can run it: {closed[-1]} is closed to other users; install cronlock below /opt for all"
    if not set(MAN_PAGES) <= contents.keys():
        yield "no man pages: this installation of cronlock has none"
