"""The table of options: the only place where options stand.

cli/app.py builds the click command from it, settings.py the names of variables and of the file's keys, and `scan` reads
a well-formed `run` line without click. This module is on the path that cron starts: it imports nothing.
"""

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}  # in ms
FOREVER = 10**15  # ms, longer than anything runs: `forever` needs no case of its own
NAME_MAX = 200  # characters of a key, node or prefix: they become part of Redis key names

RUN, ALL = "run", "run status history check adopt pause resume unlock forget"  # the commands that have an option
ONE_RECORD = "run adopt unlock forget"  # those for which a node's own record is another one

WHO, WHEN, FAILS, REDIS, SAYS = (
    "Who runs",
    "When",
    "If it fails",
    "Where is Redis",
    "What it says",
)
GROUPS = (WHO, WHEN, FAILS, REDIS, SAYS)


def duration(text: str) -> int:
    """Milliseconds in `500ms`, `90`, `90s`, `15m`, `2h` or `1d`; a bare number is seconds.

    Raises ValueError when the text is none of these.
    """
    digits = text.rstrip("smhd")
    unit = text[len(digits) :] or "s"
    if not (digits.isascii() and digits.isdigit()) or unit not in UNITS or len(digits) > 9:
        raise ValueError(f"{text!r} is no duration: write 500ms, 90s, 15m, 2h or 1d")
    return int(digits) * UNITS[unit]


def spell(length: int) -> str:
    """A duration in ms as `duration` reads it, in the largest unit that gives a whole number."""
    if length >= FOREVER:
        return "forever"
    unit = next(unit for unit in ("d", "h", "m", "s", "ms") if not length % UNITS[unit] and (length or unit == "s"))
    return f"{length // UNITS[unit]}{unit}"


def lasting(text: str) -> int:
    """A duration of more than nothing."""
    length = duration(text)
    if not length:
        raise ValueError(f"{text!r}: 0 has no meaning here")
    return length


def patience(text: str) -> int:
    """A duration, or `forever`."""
    return FOREVER if text == "forever" else duration(text)


def name(text: str) -> str:
    """A key or a prefix: 1 to 200 printable characters without braces, which Redis Cluster would read as a hash tag."""
    if not text:
        raise ValueError("it is empty")
    if len(text) > NAME_MAX:
        raise ValueError(f"it has {len(text)} characters, {NAME_MAX} are allowed")
    if not text.isprintable():
        raise ValueError(f"{text!r} has a control character or one that can't be printed")
    if "{" in text or "}" in text:
        raise ValueError(f"{text!r} has a brace")
    return text


def node(text: str) -> str:
    """A node's name: as a key, and without a colon, which ends it inside Redis key names."""
    if ":" in text:
        raise ValueError(f"{text!r} has a colon")
    return name(text)


def exit_status(text: str) -> int:
    """A number from 0 to 255."""
    if not (text.isascii() and text.isdigit()) or len(text) > 3 or int(text) > 255:
        raise ValueError(f"{text!r} is no exit status: 0 to 255")
    return int(text)


def counted(text: str) -> int:
    """A number of things, one or more."""
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or not int(text):
        raise ValueError(f"{text!r} is no number of them: 1 or more")
    return int(text)


def boolean(text: str) -> bool:
    """What a variable says of an option that takes no value."""
    word = text.lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off", ""):
        return False
    raise ValueError(f"{text!r} is neither 1 nor 0")


def plain(text: str) -> str:
    """Text that is judged where it is used."""
    if not text:
        raise ValueError("it is empty")
    return text


class Choice:
    """One of some words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def __call__(self, text: str) -> str:
        if text not in self.words:
            raise ValueError(f"{text!r} is none of {', '.join(self.words)}")
        return text


class Option:
    """One option: how it is spelled, read and explained.

    `parse` turns text into the value and raises ValueError; it is None for an option without a value. `where`: the
    option says where Redis is, so the command inherits its variable. `commands` are those that have the option.
    """

    __slots__ = ("commands", "default", "flags", "group", "help", "many", "metavar", "name", "parse", "where")

    def __init__(
        self,
        flags: str,
        group: str,
        help: str,
        parse: "Callable[[str], Any] | None" = None,
        metavar: str = "",
        default: str = "",
        commands: str = RUN,
        many: bool = False,
        where: bool = False,
    ) -> None:
        self.flags = flags.split()
        self.name = self.flags[-1][2:]
        self.group = group
        self.help = help
        self.parse = parse
        self.metavar = metavar
        self.default = default
        self.commands = commands.split()
        self.many = many
        self.where = where

    @property
    def variable(self) -> str:
        """The environment variable that gives this option."""
        return "CRONLOCK_" + self.name.upper().replace("-", "_")


OPTIONS = (
    Option("--once", WHO, "One node per tick, whichever comes first.", default="yes", commands="run wrap"),
    Option(
        "--each",
        WHO,
        "Every node, once per tick: each has a record of its own, which --node names.",
        commands=f"{ONE_RECORD} wrap",
    ),
    Option("-k --key", WHO, "The job's name, the same on every node.", name, "NAME", "required"),
    Option("--no-fair", WHO, "Don't let the node go first that ran longest ago."),
    Option("--again", WHO, "Run although the tick is done; never beside a run that goes on, never while paused."),
    Option(
        "--schedule",
        WHEN,
        "Five cron fields or an @nickname; none turns ticks off.",
        plain,
        "EXPR",
        "from the crontab line",
    ),
    Option("--tz", WHEN, "Time zone of the schedule.", plain, "ZONE", "the one that cron uses"),
    Option(
        "--tick",
        WHEN,
        "The scheduled instant: ISO 8601, epoch seconds, or the name of a Kubernetes CronJob's Job.",
        plain,
        "TIME",
        "from schedule and clock",
    ),
    Option(
        "--ttl",
        WHEN,
        "Length of the lease, at most 1h; extended while the command runs.",
        lasting,
        "D",
        "from the schedule",
    ),
    Option("-w --wait", WHEN, "Wait so long for a held lock; forever, too.", patience, "D", "0"),
    Option("--splay", WHEN, "Wait at random, at most so long, before asking.", duration, "D", "0"),
    Option("--start-within", WHEN, "Start no later than this after the tick.", lasting, "D", "until the next tick"),
    Option(
        "--failover",
        FAILS,
        "Stay while another node runs this tick, and take it over when that node dies; at most 3 attempts in all.",
    ),
    Option("--retry-failed", FAILS, "With --failover: a command that fails counts as such a death."),
    Option(
        "--outage-wait",
        FAILS,
        "Keep trying so long while no quorum answers.",
        duration,
        "D",
        "a tenth of the period, 30s to 15m; 30s without ticks",
    ),
    Option(
        "--on-outage",
        FAILS,
        "And then: fail (122), skip (status as -E), or run without a lock.",
        Choice("fail", "skip", "run"),
        "fail|skip|run",
        "fail",
    ),
    Option("--max-runtime", FAILS, "End the command after this, with status 124.", lasting, "D", "none"),
    Option(
        "--kill-after",
        FAILS,
        "Time between SIGTERM and SIGKILL when the command must end.",
        duration,
        "D",
        "10s, at most a third of the lease",
    ),
    Option(
        "-E --conflict-exit-code",
        FAILS,
        "Exit status for held, done, paused and late.",
        exit_status,
        "N",
        "0; 75 when --wait ran out",
    ),
    Option(
        "--redis",
        REDIS,
        "redis://host:port, rediss:// for TLS, unix:///path or redis+sentinel://host,host/service; repeat it for "
        "several servers, or for several seeds of one cluster.",
        plain,
        "URL",
        "CRONLOCK_REDIS, /etc/cronlock.toml, REDIS_URL or REDIS_HOST",
        commands=ALL,
        many=True,
        where=True,
    ),
    Option("--local", REDIS, "No Redis: a lock file for this machine alone.", commands=ALL, where=True),
    Option("--prefix", REDIS, "First part of all names in Redis.", name, "NAME", "cronlock", commands=ALL, where=True),
    Option("--node", REDIS, "This node's name.", node, "NAME", "the host name", commands=ALL, where=True),
    Option(
        "--config",
        REDIS,
        "Read this file instead of the two usual ones.",
        plain,
        "FILE",
        "/etc/cronlock.toml, ~/.config/cronlock.toml",
        commands=ALL,
        where=True,
    ),
    Option("--dry-run", SAYS, "Print what would be done and where each value comes from; connects to nothing."),
    Option("-v --verbose", SAYS, "Say also who holds it, and that it ran."),
    Option("-q --quiet", SAYS, "Say nothing at all."),
    Option("--syslog", SAYS, "To syslog instead of standard error."),
)
COMMAND_OPTIONS = (  # of one call only: no variable, no place in the file
    Option("--all", WHO, "Every key that the voters know.", commands="adopt pause resume"),
    Option("--for", WHEN, "Pause so long.", lasting, "D", "until resumed", commands="pause"),
    Option(
        "--until",
        WHEN,
        "Pause until then: ISO 8601, or epoch seconds.",
        plain,
        "TIME",
        "until resumed",
        commands="pause",
    ),
    Option("--reason", SAYS, "Why, for those who are told that it is paused.", plain, "TEXT", commands="pause"),
    Option(
        "--crontab",
        SAYS,
        "Whether it has a user column: user for one of crontab(1), system for one in /etc.",
        Choice("user", "system"),
        "user|system",
        "by its place",
        commands="wrap",
    ),
    Option("--limit", SAYS, "So many runs, the newest ones.", counted, "N", "100", commands="history"),
    Option(
        "--format",
        SAYS,
        "A table for people, JSON, or metrics for Prometheus.",
        Choice("table", "json", "prometheus"),
        "table|json|prometheus",
        "table",
        commands="status",
    ),
    Option(
        "--format",
        SAYS,
        "A table for people, or JSON.",
        Choice("table", "json"),
        "table|json",
        "table",
        commands="history check",
    ),
    Option(
        "--leave-out",
        FAILS,
        "Also without voters that do not answer, and without those of before: what they know is lost.",
        commands="adopt",
    ),
    Option("--yes", SAYS, "Do not ask.", commands="adopt unlock forget"),
)
BY_FLAG = {flag: option for option in OPTIONS for flag in option.flags}
BY_NAME = {option.name: option for option in OPTIONS}


def scan(words: "Sequence[str]") -> "tuple[dict[str, Any], list[str]] | None":
    """Read the words behind `cronlock run`: the values of its options, and the command.

    Returns None for all that a person should hear about from click: help, an unknown option, a bad value, no command.
    """
    values: dict[str, Any] = {}
    rest = list(words)
    while rest and rest[0][:1] == "-" and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        taken = _take(word, rest)
        if taken is None:
            return None
        option, value = taken
        if option.many:
            values.setdefault(option.name, []).append(value)
        else:
            values[option.name] = value
    return (values, rest) if rest else None


def _take(word: str, rest: list[str]) -> "tuple[Option, Any] | None":
    """The option in `word` and its value, which may be the first of `rest`; None when it is not well formed."""
    if word[1] == "-":
        flag, given, value = word.partition("=")
    else:  # -k, -kNAME, -vq
        flag, given, value = word[:2], word[2:], word[2:]
    option = BY_FLAG.get(flag)
    if option is None:
        return None
    if not option.parse:
        if (word[1] == "-" and given) or value[:1] == "-":  # -v- and -v-key=x are no end of the options and no long one
            return None
        if value:
            rest.insert(0, "-" + value)
        return option, True
    if not given:
        if not rest:
            return None
        value = rest.pop(0)
    try:
        return option, option.parse(value)
    except ValueError:
        return None
