"""Modules from elsewhere: neither the working directory nor what a crontab sets for its command reaches cronlock."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.commands import PATIENCE, ROOT, new_folder, remove_folder
from tests.support.doc_blocks import MAN_PAGE, SETTINGS_PAGE
from tests.support.doc_pages import pages
from tests.support.servers import Server

pytestmark = pytest.mark.debian

TRAPS = ("redis.py", "select.py", "json.py", "hiredis.py", "click.py", "ssl.py", "cronlock/__init__.py")
READ = (
    "--inh-caps",
    "+dac_read_search",
    "--ambient-caps",
    "+dac_read_search",
)  # this test's Python may be root's alone
USER = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *READ)
Start = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def trap() -> Iterator[Path]:
    """A folder of modules that leave a mark when they are imported."""
    folder = new_folder()
    folder.chmod(0o777)
    for name in TRAPS:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"open({str(folder / 'mark')!r}, 'a').write({name!r})\nraise ImportError\n")
    yield folder
    remove_folder(folder)


@pytest.fixture
def script(trap: Path) -> Path:
    """The wheel's script as an installer leaves it, in the folder of the traps."""
    made = trap / "cronlock-script"
    rows = (ROOT / "cronlock" / "scripts" / "cronlock").read_text().splitlines(keepends=True)
    made.write_text("".join([f"#!{sys.executable}\n", *rows[1:]]))
    made.chmod(0o755)
    return made


@pytest.fixture(params=["root", "user"])
def start(request: pytest.FixtureRequest, trap: Path) -> Start:
    """start(*words, NAME=value): the result, after a look that no trap was sprung."""

    def begin(*words: object, **variables: str) -> "subprocess.CompletedProcess[str]":
        before = USER if request.param == "user" else ()
        env = {"PATH": "/usr/bin:/bin", "HOME": str(trap), **variables}
        done = subprocess.run(
            [*before, *map(str, words)],
            env=env,
            cwd=trap,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert not (trap / "mark").exists(), (trap / "mark").read_text()
        assert (done.returncode, done.stderr) == (0, "")
        return done

    return begin


def where(server: Server) -> tuple[str, ...]:
    return ("--redis", server.url, "--key", "job", "--schedule", "none")


@pytest.mark.parametrize("name", ["", "PYTHONPATH"])
def test_the_script_imports_nothing_from_elsewhere(
    start: Start, script: Path, trap: Path, server: Server, name: str
) -> None:
    """Its own folder, the working directory and PYTHONPATH have modules of those names."""
    variables = {name: f"{sysconfig.get_path('stdlib')}:{trap}"} if name else {}
    seen = start(script, "run", *where(server), "env", **variables).stdout.splitlines()
    assert {line for line in seen if line.startswith(("PYTHON", "LC_"))} == {f"{n}={v}" for n, v in variables.items()}
    assert "job" in start(script, "status", "--redis", server.url, **variables).stdout


@pytest.mark.parametrize("locale", ["C", "POSIX", ""])
def test_a_second_start_hands_the_locale_on_as_it_was_given(
    start: Start, script: Path, trap: Path, server: Server, locale: str
) -> None:
    """Python sets LC_CTYPE in the first one, in place of C too (PEP 538)."""
    given = {"LC_CTYPE": locale} if locale else {"X_LC_CTYPE": "x"}
    seen = start(script, "run", *where(server), "env", PYTHONPATH=str(trap), **given).stdout.splitlines()
    assert {line for line in seen if "LC_CTYPE" in line} == {f"{name}={value}" for name, value in given.items()}


def test_another_pythons_library_is_not_the_scripts(start: Start, script: Path, trap: Path, server: Server) -> None:
    """PYTHONHOME is the command's; words keep their blanks, and an empty one is one."""
    library = trap / "home" / "lib" / f"python{sysconfig.get_python_version()}"
    library.parent.mkdir(parents=True)
    library.mkdir()
    for entry in Path(sysconfig.get_path("stdlib")).iterdir():
        if entry.name != "site-packages":
            (library / entry.name).symlink_to(entry)
    (library / "site-packages").mkdir()
    (library / "site-packages" / "hiredis.py").write_text((trap / "hiredis.py").read_text())
    words = ("sh", "-c", 'echo "$#:$1:$2:$PYTHONHOME"', "sh", "a  b", "")
    done = start(script, "run", *where(server), *words, PYTHONHOME=str(trap / "home"))
    assert done.stdout == f"2:a  b::{trap / 'home'}\n"


@pytest.mark.parametrize("option", [(), ("-I",)])
def test_a_module_leaves_the_working_directory(
    start: Start, trap: Path, server: Server, option: tuple[str, ...]
) -> None:
    """-I as the pages say it; without it Python's own start may import from there, and cronlock nothing."""
    if not option:  # or Python runs this one
        (trap / "cronlock" / "__init__.py").unlink()
        (trap / "cronlock").rmdir()
    python = (sys.executable, *option, "-m", "cronlock")
    assert start(*python, "run", *where(server), "echo", "ran").stdout == "ran\n"
    assert "job" in start(*python, "status", "--redis", server.url).stdout


def test_the_pages_recommend_no_module_that_is_not_isolated() -> None:
    for page in (*pages(), MAN_PAGE, SETTINGS_PAGE, ROOT / "crontab.example"):
        text = page.read_text().replace("\\", "")
        assert text.count("-m cronlock") == text.count("-I -m cronlock"), page


def test_it_is_executed_once_where_nothing_is_set(script: Path, server: Server) -> None:
    """A second start of Python costs as much as the first."""
    words = ["strace", "-f", "-e", "trace=execve", "-o", "/dev/stdout", str(script), "run", *where(server), "/bin/true"]
    env = {"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"]}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout.count("execve(") == 2
