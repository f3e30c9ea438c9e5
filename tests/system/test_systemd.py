"""The guide's pair of systemd units: systemd takes it, and its timer elapses at the ticks of its service."""

import configparser
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from cronlock.config.options import duration
from tests.support.commands import cronlock, cronlock_on_path
from tests.support.doc_pages import blocks

FOLDER = "/etc/systemd/system/"
UNITS = {text.splitlines()[0].removeprefix("# " + FOLDER): text for text in blocks("ini", "systemd.md")}
SERVICE, TIMER = "cronlock-nightly.service", "cronlock-nightly.timer"


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNITS[name])
    return parser


def dry_run() -> dict[str, str]:
    """What a dry run of ExecStart prints; nobody is asked, so any voter will do."""
    program, run, *words = shlex.split(unit(SERVICE)["Service"]["ExecStart"])
    assert (program, run) == ("/usr/local/bin/cronlock", "run")
    done = cronlock("run", "--dry-run", *words, env={"CRONLOCK_LOCAL": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    return dict(re.findall(r"^(\S.*?) {2,}(.*)$", done.stdout, re.MULTILINE))


def test_they_are_a_pair() -> None:
    """A timer starts the service of its own name."""
    assert list(UNITS) == [SERVICE, TIMER]
    assert "Unit" not in unit(TIMER)["Timer"]


def test_the_service_has_a_schedule_and_a_tick() -> None:
    """From its command line: there is no crontab line."""
    facts = dry_run()
    assert facts["key"] == "nightly"
    assert re.fullmatch(r"0 2 \* \* \*  \(.+; from command line\)", facts["schedule"])
    assert facts["command"] == "/usr/local/bin/nightly"


def test_the_service_is_stopped_through_cronlock_and_has_time_to_end() -> None:
    """SIGTERM for cronlock alone, and a limit that is longer than --kill-after."""
    service = unit(SERVICE)["Service"]
    assert service["KillMode"] == "mixed"
    assert duration(service["TimeoutStopSec"]) > duration(dry_run()["kill after"])


@pytest.mark.debian
def test_systemd_finds_nothing_wrong_with_them(tmp_path: Path) -> None:
    """Nothing is started. The programs are those of this test; what it says of other units is their business."""
    programs = Path(cronlock_on_path().partition(":")[0])
    (programs / "nightly").symlink_to("/bin/true")
    for name, text in UNITS.items():
        (tmp_path / name).write_text(text.replace("/usr/local/bin/", f"{programs}/"))
    words = ["systemd-analyze", "verify", *(tmp_path / name for name in UNITS)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "cronlock" not in done.stdout + done.stderr


@pytest.mark.debian
def test_the_timer_is_enabled_by_the_command_of_the_page(tmp_path: Path) -> None:
    """Tried without a running systemd, on files below a folder."""
    [line] = [line for block in blocks("text", "systemd.md") for line in block.splitlines() if " enable " in line]
    folder = tmp_path / FOLDER.lstrip("/")
    folder.mkdir(parents=True)
    for name, text in UNITS.items():
        (folder / name).write_text(text)
    program, *words = line.split()
    subprocess.run([program, f"--root={tmp_path}", *words], check=True, capture_output=True, timeout=60)
    assert (folder / "timers.target.wants" / TIMER).is_symlink()


@pytest.mark.debian
def test_systemd_would_have_found_a_wrong_word(tmp_path: Path) -> None:
    (tmp_path / SERVICE).write_text(UNITS[SERVICE].replace("KillMode", "KilMode"))
    words = ["systemd-analyze", "verify", tmp_path / SERVICE]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert re.search(r"cronlock.*KilMode", done.stderr)


@pytest.mark.debian
def test_the_timer_elapses_at_the_next_ticks() -> None:
    """After the newest tick, as systemd reckons in the machine's zone."""
    facts = dry_run()
    ticks = facts["next"].split(", ")
    base = f"--base-time={facts['tick'].replace('T', ' ').replace('Z', ':00 UTC')}"
    calendar = ["systemd-analyze", "calendar", base, f"--iterations={len(ticks)}", unit(TIMER)["Timer"]["OnCalendar"]]
    told = subprocess.run(calendar, capture_output=True, text=True, timeout=60, check=True).stdout
    elapses = re.findall(r": \w{3} (\d{4}-\d\d-\d\d) (\d\d:\d\d):00 UTC$", told, re.MULTILINE)
    assert [f"{date}T{time}Z" for date, time in elapses] == ticks, told
