"""`cronlock install`: the files that it writes below a prefix, the launcher's starts, and what it never touches."""

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronlock import __version__
from cronlock.commands.install import LAUNCHER, NAMES
from tests.support.commands import PATIENCE, ROOT, cronlock, environment, home, new_folder, remove_folder

RUN = ("run", "--local", "--schedule", "none", "--key")
FOREIGN = "another program's\n"


@pytest.fixture
def prefix() -> Iterator[Path]:
    """Provide a folder that exists and is empty; not below HOME, which may have been closed to others."""
    folder = new_folder()
    yield folder
    remove_folder(folder)


def tree(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return all that is below a folder: kind, mode and time, and what is in it."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        found[str(path.relative_to(folder))] = (about.st_mode, path.is_dir() or about.st_mtime_ns, content)
    return found


def install(prefix: Path, *words: str) -> list[str]:
    """Return the lines that it prints."""
    done = cronlock("install", "--prefix", prefix, *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def refusal(prefix: object, *words: str) -> str:
    done = cronlock("install", "--prefix", prefix, *words)
    assert (done.returncode, done.stdout) == (125, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("cronlock: install: refused: ")
    return line.removeprefix("cronlock: install: refused: ")


def start(program: Path, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Start the launcher as cron does: with the variables of the line and no more."""
    given = {"HOME": str(home()), "PATH": "/usr/bin:/bin", **env}
    return subprocess.run(
        [program, *words], env=given, cwd=home(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


# What it writes


def test_it_says_what_it_wrote_and_where_cron_looks(prefix: Path) -> None:
    *wrote, advice = install(prefix)
    assert wrote == [f"wrote {prefix / name}" for name in NAMES]
    assert advice.startswith(f"cron does not look in {prefix}/bin: write PATH={prefix}/bin:/")
    assert {name for name, (_, _, content) in tree(prefix).items() if content} == set(NAMES)


def test_a_second_time_changes_nothing_and_says_so(prefix: Path) -> None:
    install(prefix)
    before = tree(prefix)
    assert install(prefix)[0] == f"nothing to do: 6 files below {prefix} are those of cronlock {__version__}"
    done = start(prefix / LAUNCHER, "install", "--prefix", str(prefix))
    assert done.stdout.startswith("nothing to do: "), "the launcher writes itself"
    assert tree(prefix) == before


def test_a_dry_run_says_the_same_and_changes_nothing(prefix: Path) -> None:
    told = install(prefix, "--dry-run")
    assert tree(prefix) == {}
    assert install(prefix) == [line.replace("would write", "wrote") for line in told]
    before = tree(prefix)
    assert install(prefix, "--uninstall", "--dry-run") == [f"would remove {prefix / name}" for name in NAMES]
    assert tree(prefix) == before


def test_what_differs_is_updated_and_no_other_file(prefix: Path) -> None:
    """After an upgrade, or a chmod."""
    install(prefix)
    before = tree(prefix)
    page = prefix / "share/man/man1/cronlock.1"
    page.write_text(page.read_text().replace("quorum", "majority"))
    (prefix / LAUNCHER).chmod(0o700)
    *told, _ = install(prefix)
    assert told == [f"updated {prefix / LAUNCHER}", f"updated {page}"]
    after = tree(prefix)
    assert {name for name in after if after[name] != before[name]} == {LAUNCHER, "share/man/man1/cronlock.1"}
    assert after["share/man/man1/cronlock.1"][2] == before["share/man/man1/cronlock.1"][2]


def test_every_user_may_use_the_files_whatever_the_umask(prefix: Path) -> None:
    inner = prefix / "new"
    old = os.umask(0o077)
    try:
        words = [sys.executable, "-m", "cronlock", "install", "--prefix", str(inner)]
        subprocess.run(words, env=environment(), cwd=home(), check=True, capture_output=True)
    finally:
        os.umask(old)
    for path in (inner, *inner.rglob("*")):
        assert path.stat().st_mode & 0o777 == (
            0o755 if path.is_dir() or (path.name == "cronlock" and path.parent.name == "bin") else 0o644
        ), path


def test_the_home_folder_can_be_the_prefix() -> None:
    assert install(Path("~/.local"))[0] == f"wrote {home()}/.local/bin/cronlock"
    assert start(home() / ".local/bin/cronlock", "--version").stdout == f"cronlock, version {__version__}\n"


# The launcher


def test_it_starts_this_python_without_its_start_up_files(prefix: Path) -> None:
    install(prefix)
    assert (prefix / LAUNCHER).read_text().startswith(f"#!{sys.executable} -IS\n")


def test_the_commands_variables_words_and_status_are_its_own(prefix: Path, local_key: str) -> None:
    """Python obeys none of them, and no module of the working directory is imported."""
    install(prefix)
    for name in ("json", "select", "os"):
        (home() / f"{name}.py").write_text("raise SystemExit('wrong module')\n")
    odd = {"PYTHONPATH": str(home()), "PYTHONHOME": "/nowhere", "PYTHONPLATLIBDIR": "none", "LC_ALL": "C"}
    script = "env | grep '^PYTHON\\|^LC_' | sort; echo $1 $2; exit 3"
    done = start(prefix / LAUNCHER, *RUN, local_key, "--", "sh", "-c", script, "sh", "a  b", "--key", **odd)
    lines = [*(f"{name}={value}" for name, value in sorted(odd.items())), "a b --key"]
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (3, lines, "")


def test_no_module_of_pythons_own_start_is_in_memory(prefix: Path) -> None:
    """`site` and what it reads take a tenth of a start."""
    install(prefix)
    words = (sys.executable, "-IS", "-X", "importtime", str(prefix / LAUNCHER), "run", "--help")
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "cronlock.config.options" in imported
    assert not imported & {"site", "sitecustomize", "_sitebuiltins"}


@pytest.fixture
def blank() -> Iterator[Path]:
    """Provide a virtual environment whose path has blanks, with the packages of the one that runs the tests."""
    folder = new_folder()
    place = folder / "the folder of $HOME"
    venv.create(place)
    [site] = place.glob("lib/python*/site-packages")
    (site / "base.pth").write_text("\n".join(dict.fromkeys([str(ROOT), *filter(os.path.isdir, sys.path[1:])])))
    yield place / "bin" / "python"
    remove_folder(folder)


def test_the_path_of_python_may_have_blanks(blank: Path, prefix: Path, local_key: str) -> None:
    words = [str(blank), "-I", "-m", "cronlock", "install", "--prefix", str(prefix)]
    subprocess.run(words, env=environment(), cwd=home(), check=True, capture_output=True)
    program = prefix / LAUNCHER
    assert program.read_text().startswith(f"#!/bin/sh\n'''exec' '{blank}' -IS ")
    done = start(program, *RUN, local_key, "--", "sh", "-c", 'echo "$1"; exit 4', "sh", "a  'b")
    assert (done.returncode, done.stdout, done.stderr) == (4, "a  'b\n", "")
    again = start(program, "install", "--prefix", str(prefix))
    assert again.stdout.startswith("nothing to do: ")


def test_a_launcher_without_its_cronlock_says_what_to_do(prefix: Path) -> None:
    install(prefix)
    program = prefix / LAUNCHER
    text = program.read_text()
    program.write_text("\n".join("sys.path += []" if "sys.path" in line else line for line in text.splitlines()))
    done = start(program, "--version")
    cure = "install cronlock there again, and repeat `cronlock install`"
    missing = f"No module named 'cronlock': {sys.executable} does not find it"
    assert (done.returncode, done.stderr) == (125, f"cronlock: {missing}: {cure}\n")


# What it never touches


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["file", "link", "folder", "dangling link"])
def test_it_stops_before_a_file_that_is_not_its_own(prefix: Path, name: str, kind: str) -> None:
    path = prefix / name
    path.parent.mkdir(parents=True)
    other = prefix / "other"
    if kind == "file":
        path.write_text(FOREIGN)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(other)
        if kind == "link":
            other.write_text(FOREIGN)
    before = tree(prefix)
    told = refusal(prefix)
    assert told == f"not written by `cronlock install`: remove {path}, or pass another --prefix"
    assert install(prefix, "--uninstall") == [f"nothing to do: `cronlock install` has no file below {prefix}"]
    assert tree(prefix) == before


def test_uninstalling_removes_what_it_wrote_and_nothing_else(prefix: Path) -> None:
    """Folders too, unless another program uses them since; after an update as well."""
    page = prefix / "share/man/man1/other.1"
    page.parent.mkdir(parents=True)
    page.write_text(FOREIGN)
    before = tree(prefix)
    install(prefix)
    (prefix / "share/man/man5/cronlock.toml.5").unlink()
    (prefix / LAUNCHER).chmod(0o700)
    install(prefix)
    assert install(prefix, "--uninstall") == [f"removed {prefix / name}" for name in NAMES]
    assert tree(prefix) == before

    install(prefix)
    added = prefix / "share/fish/vendor_completions.d/other.fish"
    added.write_text(FOREIGN)
    install(prefix, "--uninstall")
    assert {name for name, (_, _, content) in tree(prefix).items() if content} == {
        "share/man/man1/other.1",
        "share/fish/vendor_completions.d/other.fish",
    }


def test_a_prefix_that_was_created_is_removed(prefix: Path) -> None:
    install(prefix / "new")
    install(prefix / "new", "--uninstall")
    assert tree(prefix) == {}


def test_a_launcher_that_names_other_folders_has_none_of_them_removed(prefix: Path) -> None:
    install(prefix)
    kept = prefix / "kept"
    kept.mkdir()
    program = prefix / LAUNCHER
    program.write_text(program.read_text().replace("created: ", "created: kept ../kept "))
    install(prefix, "--uninstall")
    assert kept.is_dir()


# Refusals


def without_rights(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run cronlock as a user who is not root, and who may read what this user may."""
    front = ["unshare", "--user"] if not os.geteuid() else []
    command = [*front, sys.executable, "-m", "cronlock", *words]
    return subprocess.run(command, env=environment(), cwd="/", capture_output=True, text=True, check=False)


def test_without_the_right_to_write_nothing_is_written(prefix: Path) -> None:
    """The right is missing in one folder of several."""
    closed = prefix / "share/man"
    closed.mkdir(parents=True)
    closed.chmod(0o555)
    before = tree(prefix)
    done = without_rights("install", "--prefix", str(prefix))
    told = f"cronlock: install: refused: no right to write to {closed}: run this as root, or pass --prefix ~/.local\n"
    assert (done.returncode, done.stdout, done.stderr) == (125, "", told)
    assert tree(prefix) == before
    assert without_rights("install", "--prefix", str(prefix), "--dry-run").returncode == 0
    closed.chmod(0o755)
    install(prefix)
    (prefix / "bin").chmod(0o555)
    before = tree(prefix)
    done = without_rights("install", "--prefix", str(prefix), "--uninstall")
    assert tree(prefix) == before
    (prefix / "bin").chmod(0o755)  # or an ordinary user's test could not remove it
    assert (done.returncode, done.stderr) == (125, told.replace(str(closed), f"{prefix}/bin"))


def test_a_prefix_in_a_folder_that_does_not_exist_is_mistyped(prefix: Path) -> None:
    missing = prefix / "mistyped"
    assert refusal(missing / "local") == f"{missing} is not a folder: create it, or pass another --prefix"
    (prefix / "share").write_text("")
    assert refusal(prefix) == f"{prefix}/share is not a folder: remove it, or pass another --prefix"


def test_a_single_file_needs_no_launcher(prefix: Path) -> None:
    packed = home() / "cronlock.pyz"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("__main__.py", "from cronlock.__main__ import main\nmain()\n")
    words = [sys.executable, str(packed), "install", "--prefix", str(prefix)]
    done = subprocess.run(words, env=environment(), cwd=home(), capture_output=True, text=True, check=False)
    assert done.returncode == 125
    assert "is a single file, which needs no launcher: copy it to a folder on cron's PATH" in done.stderr
    assert tree(prefix) == {}
