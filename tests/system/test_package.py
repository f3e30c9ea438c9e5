"""Wheel, sdist, single file and container: built, installed where the source tree is out of sight, and run."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.commands import PATIENCE, ROOT, home, start_words, wait_until
from tests.support.doc_pages import FENCE, blocks, page, section
from tests.support.servers import Server
from tests.unit.test_imports import NAMED, PROJECT

pytestmark = [pytest.mark.debian, pytest.mark.timeout(300)]

SLOW = 240  # s for what asks a package index
SCRIPT = "data/scripts/cronlock"
DATA = (
    "man/man1/cronlock.1",
    "man/man5/cronlock.toml.5",
    "doc/cronlock/crontab.example",
    *(f"doc/cronlock/guide/{path.name}" for path in (ROOT / "man" / "guide").glob("*.md")),
)
PID_1 = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
Once = Callable[[str, Callable[[Path], None]], Path]


def run(*words: object, env: dict[str, str] | None = None, timeout: float = PATIENCE) -> str:
    """What it prints, in `home()` and with cron's environment and no more; its status has to be 0."""
    given = {"HOME": str(home()), "PATH": "/usr/bin:/bin", **(env or {})}
    done = subprocess.run(
        [*map(str, words)], env=given, cwd=home(), capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """once(name, make): a folder that `make` fills, made by the first of pytest's processes that wants it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def get(name: str, make: Callable[[Path], None]) -> Path:
        folder = base / name
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (base / f"{name}.done").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                (base / f"{name}.done").touch()
        return folder

    return get


def hatch(source: Path, to: Path, *kinds: str) -> None:
    words = [sys.executable, "-m", "hatchling", "build", "-d", str(to), *(w for kind in kinds for w in ("-t", kind))]
    subprocess.run(words, cwd=source, check=True, capture_output=True, timeout=SLOW)


def unpack(sdist: Path, folder: Path) -> None:
    """By tar(1): Debian 12's tarfile has no filter, and later ones want one."""
    subprocess.run(["tar", "-x", "-f", sdist, "-C", folder], check=True, timeout=SLOW)


@pytest.fixture
def built(once: Once) -> Path:
    """The folder of wheel and sdist."""
    return once("built", lambda folder: hatch(ROOT, folder, "sdist", "wheel"))


@pytest.fixture
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


@pytest.fixture
def sdist(built: Path) -> Path:
    return next(built.glob("*.tar.gz"))


def moved(text: str, prefix: Path) -> str:
    """A shell's words with the machine's paths below a folder of the test."""
    text = re.sub(r"(cronlock install)\b", r"\1 --prefix /usr/local", text)
    return re.sub(r"(?<![\w./])/(?=(?:etc|opt|usr|src|var)\b)", f"{prefix}/", text)


@contextlib.contextmanager
def python_on_path(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of somebody whose python is the one below this test's virtual environment."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name in ("python", "python3"):
        (programs / name).write_text(f'#!/bin/sh\nexec {getattr(sys, "_base_executable", sys.executable)} "$@"\n')
        (programs / name).chmod(0o755)
    settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    yield {**settings, "PATH": f"{programs}:/usr/bin:/bin", "HOME": os.environ["HOME"]}


def shell(line: str, env: dict[str, str], cwd: Path) -> None:
    words = ["/bin/sh", "-c", line]
    done = subprocess.run(words, env=env, cwd=cwd, capture_output=True, text=True, timeout=SLOW, check=False)
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


def typed(title: str = "") -> list[str]:
    """Return the lines that install.md shows below a heading, or before the first one."""
    text = page("install.md")
    below = section(text, title) if title else text.partition("\n## ")[0]
    return [line for kind, block in FENCE.findall(below) if kind == "sh" for line in block.splitlines()]


def for_all_users(wheel: Path) -> Callable[[Path], None]:
    """The guide's commands for root, with a wheel in place of the folder."""

    def install(folder: Path) -> None:
        for made in ("opt", "usr/local/bin"):
            (folder / made).mkdir(parents=True)
        with python_on_path(folder) as env:
            for line in typed():
                shell(moved(of_wheel(line, wheel), folder), env, folder)

    return install


def of_wheel(line: str, wheel: Path) -> str:
    return re.sub(r" \.$", f" {wheel}", line)


def from_source(sdist: Path) -> Callable[[Path], None]:
    def install(folder: Path) -> None:
        venv = folder / "opt" / "cronlock"
        with python_on_path(folder) as env:
            shell(f"python -m venv --without-pip {venv}", env, folder)
            shell(f"{sys.executable} -m pip -q --python {venv}/bin/python install {sdist}", env, folder)

    return install


@pytest.fixture(params=["wheel", "sdist"])
def prefix(request: pytest.FixtureRequest, once: Once) -> Path:
    """The folder whose opt/cronlock has it installed, from wheel or sdist."""
    artefact = request.getfixturevalue(request.param)
    return once(f"from-{request.param}", (for_all_users if request.param == "wheel" else from_source)(artefact))


@pytest.fixture
def bin_of_wheel(once: Once, wheel: Path) -> Path:
    return once("from-wheel", for_all_users(wheel)) / "opt" / "cronlock" / "bin"


# What is in them


def test_the_wheel_has_package_pages_and_licence_and_no_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "cronlock").rglob("*") if path.suffix not in ("", ".pyc")}
    assert {name for name in names if name.startswith("cronlock/")} == files | {"cronlock/scripts/cronlock"} & names
    assert {"cronlock/py.typed", "cronlock/servers/scripts/record.lua", "cronlock/servers/scripts/rights.lua"} <= names
    rest = {re.sub(r"^cronlock-[\d.]+\.", "", name) for name in names - files if name[:9] != "cronlock/"}
    assert rest >= {SCRIPT, "dist-info/licenses/LICENSE", *(f"data/data/share/{name}" for name in DATA)}
    assert {name.partition("/")[0] for name in rest} == {"data", "dist-info"}


def test_the_sdist_builds_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    unpack(sdist, tmp_path)
    [source] = tmp_path.iterdir()
    assert (source / "tests" / "system/test_package.py").exists()
    hatch(source, tmp_path / "dist", "wheel")
    assert (tmp_path / "dist" / wheel.name).read_bytes() == wheel.read_bytes()


def test_an_index_would_take_both(wheel: Path, sdist: Path) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)


# Installed


def test_it_runs_where_it_was_installed(prefix: Path, server: Server, local_key: str) -> None:
    """By its name, and as a module; the scripts for Redis are found."""
    program = prefix / "opt" / "cronlock" / "bin" / "cronlock"
    python = program.with_name("python")
    assert run(program, "--version") == f"cronlock, version {version(program)}\n"
    where = run(python, "-c", "import cronlock; print(cronlock.__file__)")
    assert where.startswith(f"{prefix}/")
    for front in ((program,), (python, "-m", "cronlock")):
        assert run(*front, "run", "--local", "--key", local_key, "--schedule", "none", "echo", "works") == "works\n"
        assert run(*front, "run", "--redis", server.url, "--key", "job", "--schedule", "none", "echo", "x") == "x\n"
    assert "job" in run(program, "status", "--redis", server.url)


def version(program: Path) -> str:
    found = next(program.parents[1].glob("lib/*/site-packages/cronlock-*.dist-info"))
    return found.name.removeprefix("cronlock-").removesuffix(".dist-info")


def test_the_guides_commands_make_it_known_to_shell_and_man(bin_of_wheel: Path) -> None:
    """Below the prefix; and in the virtual environment itself, which man finds from PATH, or from MANPATH."""
    prefix, venv = bin_of_wheel.parents[2], bin_of_wheel.parent
    launcher = prefix / "usr" / "local" / "bin" / "cronlock"
    assert run(launcher, "--version") == run(bin_of_wheel / "cronlock", "--version")
    assert re.match(rf"#!{re.escape(str(bin_of_wheel))}/python[\d.]* -IS\n", launcher.read_text())
    pages = {"cronlock": "man1/cronlock.1", "cronlock.toml": "man5/cronlock.toml.5"}
    for name, path in pages.items():
        written, own = f"{prefix}/usr/local/share/man/{path}", f"{venv}/share/man/{path}"
        assert run("man", "-w", name, env={"MANPATH": f"{prefix}/usr/local/share/man"}).strip() == written
        assert Path(written).read_text().startswith(Path(own).read_text())
        assert run("man", "-w", name, env={"MANPATH": f"{venv}/share/man"}).strip() == own
        assert run("man", "-w", name, env={"PATH": f"{bin_of_wheel}:/usr/bin:/bin"}).strip() == own
    assert (venv / "share" / DATA[2]).read_bytes() == (ROOT / "crontab.example").read_bytes()


def test_a_user_of_the_package_gets_its_types(bin_of_wheel: Path, tmp_path: Path) -> None:
    text = "from cronlock.cron.schedule import Schedule\nreveal_type(Schedule(['@daily']).tick(0.0))\nSchedule(1)\n"
    (tmp_path / "user.py").write_text(text)
    words = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(bin_of_wheel / "python"), "user.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=SLOW, check=False)
    notes = [line.split(":")[1:3] for line in done.stdout.splitlines()[:-1]]
    assert 'Revealed type is "int"' in done.stdout.replace("builtins.", ""), done.stdout
    assert notes == [["2", " note"], ["3", " error"]], done.stdout


PROBE = """
import os, sys
sys.argv[:1] = ["cronlock"]
before = set(sys.modules)  # the start-up files of other packages
from cronlock.__main__ import main
leave = os._exit
def tell(status):
    files = [getattr(sys.modules[name], "__file__", None) for name in set(sys.modules) - before]
    with open("files", "w") as file:
        file.write("\\n".join(filter(None, files)))
    leave(status)
os._exit = tell
main()
"""


def test_what_is_loaded_at_run_time_is_declared(bin_of_wheel: Path, server: Server) -> None:
    """Of the standard library, cronlock's own, or of what its dependencies are and need themselves."""
    asks = (
        "import importlib.metadata as m, json; print(json.dumps("
        "{d.name: [d.requires or [], [str(d.locate_file(f)) for f in d.files]] for d in m.distributions()}))"
    )
    told = json.loads(run(bin_of_wheel / "python", "-c", asks))
    installed = {name.lower().replace("_", "-"): facts for name, facts in told.items()}
    declared = {"cronlock"}
    while new := {name_of(text) for name in declared for text in installed[name][0]} & set(installed) - declared:
        declared |= new
    assert declared >= NAMED | {"cronlock"}
    theirs = {path for name in declared for path in installed[name][1]}
    site = str(next(Path(bin_of_wheel.parent, "lib").glob("*/site-packages")))
    where = ("--redis", server.url)
    loaded: set[str] = set()
    for words in (
        ("run", *where, "--key", "job", "--schedule", "0 2 L * *", "--tz", "Europe/Berlin", "--again", "true"),
        *(("status", *where, "--format", kind) for kind in ("table", "json", "prometheus")),
        ("history", *where, "job"),
        ("pause", *where, "job"),
        ("run", "--help"),
    ):
        run(bin_of_wheel / "python", "-c", PROBE, *words)
        loaded |= set(Path(home(), "files").read_text().splitlines())
    outside = {path for path in loaded if path.startswith(site)}
    assert outside
    assert outside <= theirs
    library = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    assert all(path.startswith(library) for path in loaded - outside)


def name_of(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return found[0].lower().replace("_", "-")


# Upgraded and uninstalled


@pytest.mark.timeout(600)  # s: two installations
def test_an_upgrade_loses_no_start_and_no_run_and_uninstalling_leaves_nothing(
    wheel: Path, server: Server, tmp_path: Path
) -> None:
    """By the guide's commands: one run is active all the time, and others start one after the other."""
    for_all_users(wheel)(tmp_path)
    program = tmp_path / "usr" / "local" / "bin" / "cronlock"
    where = ("run", "--redis", server.url, "--schedule", "none")
    script = "touch began; while [ ! -e enough ]; do sleep 0.02; done; exit 3"
    active = start_words([str(program), *where, "--key", "active", "sh", "-c", script])
    wait_until(Path(home(), "began").exists, message="the command")
    loop = f"until [ -e upgraded ]; do {program} {' '.join(where)} --key again echo ran || echo $?; done"
    starts = start_words(["sh", "-c", loop])
    with python_on_path(tmp_path) as env:
        *lines, remove = typed("Upgrade")
        for line in lines:
            shell(moved(of_wheel(line, wheel), tmp_path), env, tmp_path)
        Path(home(), "upgraded").touch()
        out, err = starts.communicate(timeout=PATIENCE)
        assert (set(out.split()), err) == ({"ran"}, "")
        shell(moved(remove, tmp_path), env, tmp_path)
        assert run(program, "--version")
        assert program.read_text().startswith(f"#!{tmp_path}/opt/cronlock-2/bin/python")
        Path(home(), "enough").touch()
        assert (active.wait(PATIENCE), active.communicate()[1]) == (3, "")

        for path in ("var/lib/cronlock", "etc"):
            (tmp_path / path).mkdir(parents=True)
        (tmp_path / "etc" / "cronlock.toml").touch()
        run(program, "forget", "--redis", server.url, "--yes", "active", "again")
        for line in typed("Uninstall"):
            if line.startswith("redis-cli "):
                shell(line.replace("-h redis-1", f"-p {server.port}"), env, tmp_path)
            elif line.startswith(("cronlock install", "rm ")):
                shell(moved(line, tmp_path), {**env, "PATH": f"{program.parent}:{env['PATH']}"}, tmp_path)
    assert server.ask("DBSIZE") == 0
    left = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*") if not path.is_dir()}
    assert left == {"programs"}


# For one user


@pytest.mark.parametrize("tool", ["pipx", "uv"])
def test_a_tool_installs_it_for_one_user_and_removes_it(wheel: Path, tool: str, local_key: str, tmp_path: Path) -> None:
    """By the guide's commands, where that tool puts programs, twice; pipx links the man pages, too."""
    [line] = [line for line in typed("For one user") if line.startswith(f"{tool} ")]
    [remove] = re.findall(rf"`({tool} [^`]*uninstall cronlock)`", " ".join(page("install.md").split()))
    places = {
        "pipx": {"PIPX_HOME": "home", "PIPX_BIN_DIR": "bin", "PIPX_MAN_DIR": "man"},
        "uv": {"UV_TOOL_DIR": "home", "UV_TOOL_BIN_DIR": "bin"},
    }[tool]
    assert "with `--force`" in page("install.md")
    with python_on_path(tmp_path) as given:
        env = given | {name: str(tmp_path / place) for name, place in places.items()}
        env |= {"PIPX_DEFAULT_PYTHON": f"{tmp_path}/programs/python3", "UV_PYTHON": sys.executable}
        env |= dict.fromkeys(("UV_SYSTEM_CERTS", "UV_NATIVE_TLS"), "true")  # as pip; the name is a new one
        tools = Path(sys.executable).parent
        for words in (line, line.replace(" install", " install --force")):
            shell(f"{tools}/{words.replace(' .', f' {wheel}')}", env, tmp_path)
            program = tmp_path / "bin" / "cronlock"
            assert (
                run(program, "run", "--local", "--key", local_key, "--schedule", "none", "echo", "works") == "works\n"
            )
            assert (tmp_path / "man" / "man1" / "cronlock.1").exists() == (tool == "pipx")
        shell(f"{tools}/{remove}", env, tmp_path)
    assert not list(tmp_path.rglob("cronlock*"))


# One file


def test_a_single_file_runs_as_cron_starts_it(once: Once, wheel: Path, server: Server, local_key: str) -> None:
    """Made by the guide's command; it unpacks itself, scripts included, and the command's environment is its own."""
    [line] = typed("As a single file")

    def make(folder: Path) -> None:
        with python_on_path(folder) as env:
            own = line.replace("$(command -v python3)", sys.executable).replace(" .", f" {wheel}")
            shell(f"{Path(sys.executable).parent}/{own}", env, folder)

    program = once("single", make) / "cronlock.pyz"
    assert run(program, "run", "--redis", server.url, "--key", "job", "--schedule", "none", "echo", "x") == "x\n"
    seen = run(program, "run", "--local", "--key", local_key, "--schedule", "none", "/usr/bin/env").splitlines()
    names = {entry.partition("=")[0] for entry in seen}
    assert {name for name in names if not name.startswith("CRONLOCK_RUN_")} == {"HOME", "PATH"}
    assert Path(home(), ".shiv").is_dir()


# A container


def recipe() -> list[tuple[str, str]]:
    """The instructions of the guide's recipe."""
    [text] = blocks("dockerfile", "containers.md")
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and line[0] != "#"]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def only(instruction: str) -> str:
    [rest] = [rest for word, rest in recipe() if word == instruction]
    return rest


@pytest.fixture
def image(once: Once, sdist: Path) -> Path:
    """What the recipe's RUN lines make of a folder that has the source in src, and a module in usr/local/lib."""

    def make(folder: Path) -> None:
        unpack(sdist, folder)
        next(folder.glob("cronlock-*")).rename(folder / "src")
        for made in ("opt", "var/lib", "usr/local/lib"):
            (folder / made).mkdir(parents=True)
        (folder / "usr" / "local" / "lib" / "module.py").touch()
        [zones] = re.findall(r"`([^`\n]*pip install tzdata)`", page("containers.md"))
        with python_on_path(folder) as env:
            for line in (*(rest for word, rest in recipe() if word == "RUN"), zones):
                shell(moved(line, folder), env, folder)

    return once("image", make)


@pytest.fixture
def container(image: Path) -> Callable[..., list[str]]:
    """container(*words): its ENTRYPOINT with these words as PID 1, as its USER, with its ENV and no more."""
    env = {"PATH": "/usr/bin:/bin", "HOME": "/"}
    for setting in only("ENV").split():
        name, _, value = setting.partition("=")
        env[name] = moved(value.replace("$PATH", env["PATH"]), image)
    user, _, group = only("USER").partition(":")
    # the right to read is for this test alone, whose Python may lie where only root looks
    read = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
    as_user = ("setpriv", "--reuid", user, "--regid", group, "--clear-groups", *read)
    settings = [f"{name}={value}" for name, value in env.items()]

    def words(*command: str, **variables: str) -> list[str]:
        more = [f"{name}={value}" for name, value in variables.items()]
        return [*PID_1, *as_user, "env", "-i", *settings, *more, *json.loads(only("ENTRYPOINT")), *command]

    return words


def test_the_recipe_has_only_what_is_tried_here() -> None:
    assert [word for word, _ in recipe()] == ["FROM", "COPY", "RUN", "RUN", "RUN", "ENV", "USER", "ENTRYPOINT"]
    found = re.fullmatch(r"python:(3\.\d+)-slim", only("FROM"))
    assert found
    assert f"Programming Language :: Python :: {found[1]}" in PROJECT["classifiers"]
    assert only("COPY") == ". /src"


def test_an_image_has_compiled_files_and_no_source(image: Path) -> None:
    assert list(image.glob("usr/local/lib/__pycache__/module.*.pyc"))
    package = next(image.glob("opt/cronlock/lib/*/site-packages/cronlock"))
    assert all(list(path.parent.glob(f"__pycache__/{path.stem}.*.pyc")) for path in package.rglob("*.py"))
    assert not (image / "src").exists()


def test_a_container_runs_as_pid_1_and_no_root_and_keeps_local_locks(
    container: Callable[..., list[str]], image: Path, local_key: str
) -> None:
    """The command's parent is process 1; what the command leaves behind is reaped."""
    orphan = "(sleep 0.1 & echo $! > /dev/fd/3) 3>&1 | { read p; while [ -d /proc/$p ]; do sleep 0.05; done; }"
    script = f"echo $PPID $(id -u) $CRONLOCK_RUN_NODE; {orphan}"
    words = container("run", "--local", "--key", local_key, "--schedule", "none", "sh", "-c", script, CRONLOCK_NODE="n")
    assert run(*words) == f"1 {only('USER').partition(':')[0]} n\n"
    [kept] = (image / "var" / "lib" / "cronlock").glob(f"{local_key}-*.json")
    assert kept.stat().st_uid == int(only("USER").partition(":")[0])


def test_a_container_gives_its_run_back_on_sigterm_and_knows_zones(
    container: Callable[..., list[str]], server: Server
) -> None:
    where = ("--redis", server.url, "--key", "job", "--schedule", "0 2 * * *", "--tz", "Europe/Berlin")
    script = "kill -TERM 1; while :; do sleep 0.05; done"
    words = container("run", *where, "sh", "-c", script, CRONLOCK_NODE="node")
    done = subprocess.run(words, cwd=home(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 128 + 15, done.stderr
    assert "given back" in run(*container("history", "--redis", server.url, "job"))
    assert run(*container("run", *where, "echo", "again", CRONLOCK_NODE="node")) == "again\n"
