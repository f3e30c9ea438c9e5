"""The finder of cronlock's modules: it finds what Python's own finder would find, only sooner."""

import pkgutil
import shutil
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

import cronlock
from tests.support.commands import ROOT

MODULES = sorted(module.name for module in pkgutil.walk_packages(cronlock.__path__, "cronlock."))
IN_A_FOLDER = "import sys; sys.path.insert(0, sys.argv[1]); "


def folder_of(name: str) -> list[str]:
    return [str(Path(cronlock.__path__[0], *name.split(".")[1:-1]))]


def python(*words: object) -> subprocess.CompletedProcess[str]:
    """Runs Python without the cronlock under test: only a folder that the code names has one."""
    return subprocess.run([sys.executable, "-I", *map(str, words)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", MODULES)
def test_each_module_is_found_as_python_finds_it(name: str) -> None:
    ours = cronlock.Finder.find_spec(name, folder_of(name))
    pythons = PathFinder.find_spec(name, folder_of(name))
    assert pythons is not None
    assert ours == pythons
    assert type(ours.loader) is type(pythons.loader)
    assert (ours.cached, ours.has_location) == (pythons.cached, True)


@pytest.mark.parametrize("name", ["cronlock.none", "cronlock.run.none", "json.decoder", "cronlockother.errors"])
def test_other_names_are_left_to_python(name: str) -> None:
    assert cronlock.Finder.find_spec(name, folder_of(name)) is None


def test_the_package_itself_is_left_to_python() -> None:
    assert cronlock.Finder.find_spec("cronlock", None) is None


def test_a_module_that_is_gone_raises_pythons_error() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'cronlock\.none'"):
        __import__("cronlock.none")


def test_a_changed_source_file_is_read_again(tmp_path: Path) -> None:
    """An upgrade in place: the .pyc file beside the new source file is that of the old one."""
    shutil.copytree(ROOT / "cronlock", tmp_path / "cronlock", ignore=shutil.ignore_patterns("__pycache__"))
    code = f"{IN_A_FOLDER} import cronlock.errors; print(cronlock.errors.LOST, cronlock.errors.__cached__)"
    first, cached = python("-c", code, tmp_path).stdout.split()
    errors = tmp_path / "cronlock" / "errors.py"
    errors.write_text(errors.read_text().replace(f"LOST = {first}\n", "LOST = 1230\n"))
    assert Path(cached).is_relative_to(tmp_path)
    assert python("-c", code, tmp_path).stdout.split() == ["1230", cached]


def test_cronlock_in_a_zip_file_is_found_by_python(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "cronlock", tmp_path / "folder" / "cronlock", ignore=shutil.ignore_patterns("__pycache__"))
    archive = shutil.make_archive(str(tmp_path / "cronlock"), "zip", tmp_path / "folder")
    done = python("-c", f"{IN_A_FOLDER} import cronlock.cron.plain_schedule as one; print(one.__file__)", archive)
    assert done.stdout == f"{archive}/cronlock/cron/plain_schedule.py\n", done.stderr


def test_the_sources_need_no_pyc_files_and_pyc_files_no_sources(tmp_path: Path) -> None:
    """With sources only, and with .pyc files in their places only, as some packagers deliver."""
    shutil.copytree(ROOT / "cronlock", tmp_path / "cronlock", ignore=shutil.ignore_patterns("__pycache__"))
    code = f"{IN_A_FOLDER} import cronlock.run.session as one; print(one.__file__)"
    assert python("-B", "-c", code, tmp_path).stdout == f"{tmp_path}/cronlock/run/session.py\n"
    assert not list(tmp_path.rglob("*.pyc"))
    assert python("-m", "compileall", "-q", "-b", tmp_path).returncode == 0
    for source in tmp_path.rglob("*.py"):
        source.unlink()
    assert python("-c", code, tmp_path).stdout == f"{tmp_path}/cronlock/run/session.pyc\n"
