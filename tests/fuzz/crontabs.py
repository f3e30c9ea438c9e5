"""Crontabs: their lines, or a refusal."""

import random
from pathlib import Path

from cronlock.cron.crontab import Sources, decoded, own_lines
from cronlock.cron.parser import BUSYBOX, CRONIE, DEBIAN, UNKNOWN_CRON, every_line
from cronlock.cron.shell import commands
from cronlock.errors import Refused
from tests.fuzz.texts import changed, changed_bytes, pieces

REAL = [path.read_bytes() for path in sorted((Path(__file__).parent.parent / "support" / "crontabs").iterdir())]
OURS = """\
PATH=/usr/local/bin:/usr/bin
CRONLOCK_REDIS="redis://me:pw@redis-1 redis://redis-2"
CRON_TZ = Europe/Berlin
*/5 * * * *  root  cd /x && cronlock run --once --key a -- a --full 2>&1 | logger
@daily  CRONLOCK_KEY=b /opt/cronlock run sh -c 'b "$(date +\\%F)" && c'
0 2 * * 1-5 sh -c "env A=1 cronlock run -k \\"c\\" --schedule '1 2 3 4 5' -- c; d `e $(f)`"%in%put
"""
KNOWN = [
    *(
        "cronlock",
        "run",
        "-k",
        "a",
        "--key=a",
        "job",
        "0 2 * * * ",
        "@daily",
        "@reboot",
        "root",
        "CRONLOCK_KEY=",
        "sh -c ",
    ),
    *("cronlock run -k a b", "\n", "$(", "${", "$((", "`", "&&", "||", "<<", ">&", "2>", "CRON_TZ=", "PATH=$PATH:/x"),
    *"'\"\\$(){}|&;<>#% \t=",
]
SHORT = 2_000  # characters: the part of a real crontab that one input changes


def make(rng: random.Random) -> tuple[str, str, bool]:
    text = _text(rng)
    return text, rng.choice((DEBIAN, CRONIE, BUSYBOX, UNKNOWN_CRON)), rng.random() < 0.5


def _text(rng: random.Random) -> str:
    how = rng.random()
    if how < 0.3:
        return "0 2 * * * cronlock run -k a " * (rng.random() < 0.5) + pieces(rng, KNOWN)
    if how < 0.6:
        return changed(rng, OURS, KNOWN)
    data = rng.choice([OURS.encode(), *REAL])
    at = rng.randrange(max(1, len(data) - SHORT))
    return decoded(changed_bytes(rng, data[at : at + SHORT]))


def check(given: tuple[str, str, bool]) -> None:
    text, cron, system = given
    for line in every_line(text, "x", system=system, cron=cron):
        assert line.number >= 1
        assert line.fields
        assert isinstance(line.command, list)
        assert not line.key or len(line.key) <= 200
    sources = Sources("/nowhere", uid=1, crontab=lambda: text)
    try:
        own_lines("a", "once", sources)
    except Refused as refused:
        assert str(refused).startswith("key a is used ")  # noqa: PT017 - a refusal is an answer
    try:
        commands(text[:500], expanded=system)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - a shell would refuse it too
