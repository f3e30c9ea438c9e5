"""The table of options: the only place that defines the options of `run`, and those that it shares with other commands.

cli/ builds the click commands from the table, settings.py the names of variables and of the settings file's keys, and
`scan` reads a well-formed `run` line without click. This module is on the path that cron starts: it imports nothing.
"""

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}  # in ms
FOREVER = 10**15  # ms, longer than any run: `forever` needs no case of its own
NAME_MAX = 200  # characters of a key, node or prefix: they become part of Redis key names

RUN, ALL = "run", "run status history check adopt pause resume unlock forget"  # the commands that have an option
NAMED = "run adopt pause resume unlock forget"  # the commands that record the node's name, or need it
ONE_RECORD = "run adopt unlock forget"  # the commands that work on a node's own record with --each

WHO, WHEN, FAILS, REDIS, OUTPUT = ("Who runs", "When", "If it fails", "Where is Redis", "Output")
GROUPS = (WHO, WHEN, FAILS, REDIS, OUTPUT)


def duration(text: str) -> int:
    """Return the milliseconds in `500ms`, `90`, `90s`, `15m`, `2h` or `1d`; a bare number is seconds.

    Raises ValueError for any other text.
    """
    digits = text.rstrip("smhd")
    unit = text[len(digits) :] or "s"
    if not (digits.isascii() and digits.isdigit()) or unit not in UNITS or len(digits) > 9:
        raise ValueError(f"{text!r} is not a duration: write 500ms, 90s, 15m, 2h or 1d")
    return int(digits) * UNITS[unit]


def spell(length: int) -> str:
    """Return a duration in ms as `duration` reads it, in the largest unit that gives a whole number."""
    if length >= FOREVER:
        return "forever"
    unit = next(unit for unit in ("d", "h", "m", "s", "ms") if not length % UNITS[unit] and (length or unit == "s"))
    return f"{length // UNITS[unit]}{unit}"


def positive_duration(text: str) -> int:
    """Return a duration of more than 0 ms."""
    length = duration(text)
    if not length:
        raise ValueError(f"{text!r}: 0 has no meaning here")
    return length


def duration_or_forever(text: str) -> int:
    """Return a duration, or FOREVER for `forever`."""
    return FOREVER if text == "forever" else duration(text)


def name(text: str) -> str:
    """Return a key or a prefix: 1 to 200 printable characters without braces (Redis Cluster's mark of a hash tag)."""
    if not text:
        raise ValueError("it is empty: give it a value, or leave it out")
    if len(text) > NAME_MAX:
        raise ValueError(f"it has {len(text)} characters, {NAME_MAX} are allowed")
    if not text.isprintable():
        raise ValueError(f"{text!r} has a control character or one that can't be printed")
    if "{" in text or "}" in text:
        raise ValueError(f"{text!r} has a brace")
    return text


def node(text: str) -> str:
    """Return a node's name: as a key, and without a colon, which ends the name inside Redis key names."""
    if ":" in text:
        raise ValueError(f"{text!r} has a colon")
    return name(text)


def exit_status(text: str) -> int:
    """Return a number from 0 to 255."""
    if not (text.isascii() and text.isdigit()) or len(text) > 3 or int(text) > 255:
        raise ValueError(f"{text!r} is not an exit status: 0 to 255")
    return int(text)


def boolean(text: str) -> bool:
    """Return the value of a variable for an option that takes no value."""
    word = text.lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off", ""):
        return False
    raise ValueError(f"{text!r} is neither 1 nor 0")


def nonempty_text(text: str) -> str:
    """Return the text; its content is checked where it is used."""
    if not text:
        raise ValueError("it is empty: give it a value, or leave it out")
    return text


class Choice:
    """One of a few words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def __call__(self, text: str) -> str:
        if text not in self.words:
            raise ValueError(f"{text!r} is not one of {', '.join(self.words)}")
        return text


class Option:
    """One option: its spelling, its parser and its help.

    `parse` turns text into the value and raises ValueError; it is None for an option without a value. `where`: the
    option names the servers, so the started command inherits its variable. `commands` are the commands that have it.
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
        """The environment variable that sets this option."""
        return "CRONLOCK_" + self.name.upper().replace("-", "_")


OPTIONS = (
    Option(
        "--once", WHO, "Run on one node per tick, the first to acquire the lock.", default="yes", commands="run wrap"
    ),
    Option(
        "--each",
        WHO,
        "Run on every node, once per tick; --node names the node's own record.",
        commands=f"{ONE_RECORD} wrap",
    ),
    Option("-k --key", WHO, "Name of the job, the same on every node.", name, "NAME", "required"),
    Option("--no-fair", WHO, "Do not let the node that ran longest ago go first."),
    Option("--again", WHO, "Run even if the tick is done, but never during a run or while paused."),
    Option(
        "--schedule",
        WHEN,
        'Five cron fields, an @nickname or "@every D"; "none" runs without ticks.',
        nonempty_text,
        "EXPR",
        "from the crontab line",
    ),
    Option("--tz", WHEN, "Time zone of the schedule.", nonempty_text, "ZONE", "the one that cron uses"),
    Option(
        "--tick",
        WHEN,
        "Scheduled time of this run: ISO 8601, epoch seconds, or the name of a Kubernetes CronJob's Job.",
        nonempty_text,
        "TIME",
        "from schedule and clock",
    ),
    Option(
        "--ttl",
        WHEN,
        "Length of the lease, at most 1h; the lease is extended while the command runs.",
        positive_duration,
        "D",
        "from the schedule",
    ),
    Option(
        "-w --wait", WHEN, 'Wait up to D for a held lock; "forever" waits indefinitely.', duration_or_forever, "D", "0"
    ),
    Option("--splay", WHEN, "Wait a random time, up to D, before trying.", duration, "D", "0"),
    Option("--start-within", WHEN, "Start at most D after the tick.", positive_duration, "D", "until the next tick"),
    Option(
        "--failover",
        FAILS,
        "Wait while another node runs this tick, and take the tick over if that node dies; at most 3 attempts in all.",
    ),
    Option("--retry-failed", FAILS, "With --failover, also take the tick over when the command fails."),
    Option(
        "--outage-wait",
        FAILS,
        "Keep trying for D while no quorum answers.",
        duration,
        "D",
        "a tenth of the period, 30s to 15m; 30s without ticks",
    ),
    Option(
        "--on-outage",
        FAILS,
        "What to do after --outage-wait: fail (122), skip (status of -E), or run without a lock.",
        Choice("fail", "skip", "run"),
        "fail|skip|run",
        "fail",
    ),
    Option("--max-runtime", FAILS, "Stop the command after D, with status 124.", positive_duration, "D", "none"),
    Option(
        "--kill-after",
        FAILS,
        "Time between SIGTERM and SIGKILL when the command has to end.",
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
        "0; 75 when --wait expired",
    ),
    Option(
        "--redis",
        REDIS,
        "Redis server: redis://host:port, rediss:// for TLS, unix:///path, or redis+sentinel://host,host/service. "
        "Repeat the option for several servers, or for several seeds of one cluster.",
        nonempty_text,
        "URL",
        "CRONLOCK_REDIS, /etc/cronlock.toml, REDIS_URL or REDIS_HOST",
        commands=ALL,
        many=True,
        where=True,
    ),
    Option("--local", REDIS, "Use a lock file on this machine instead of Redis.", commands=ALL, where=True),
    Option(
        "--prefix", REDIS, "First part of all key names in Redis.", name, "NAME", "cronlock", commands=ALL, where=True
    ),
    Option("--node", REDIS, "Name of this node.", node, "NAME", "the host name", commands=NAMED, where=True),
    Option(
        "--config",
        REDIS,
        "Read FILE instead of the two usual settings files.",
        nonempty_text,
        "FILE",
        "/etc/cronlock.toml, ~/.config/cronlock.toml",
        commands=ALL,
        where=True,
    ),
    Option("--dry-run", OUTPUT, "Print what a run would do, and the source of each value; connect to no server."),
    Option("-v --verbose", OUTPUT, "Also report who holds the lock and that the command ran."),
    Option("-q --quiet", OUTPUT, "Print no messages."),
    Option("--syslog", OUTPUT, "Send messages to syslog instead of standard error."),
)
BY_FLAG = {flag: option for option in OPTIONS for flag in option.flags}
BY_NAME = {option.name: option for option in OPTIONS}


def scan(words: "Sequence[str]") -> "tuple[dict[str, Any], list[str]] | None":
    """Return the values of the options and the command, from the words after `cronlock run`.

    Returns None for the lines that click has to answer: help, an unknown option, a bad value, or no command.
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
    """Return the option in `word` and its value, which may be the first of `rest`; None when it is not well formed."""
    if word[1] == "-":
        flag, given, value = word.partition("=")
    else:  # -k, -kNAME, -vq
        flag, given, value = word[:2], word[2:], word[2:]
    option = BY_FLAG.get(flag)
    if option is None:
        return None
    if not option.parse:
        if (word[1] == "-" and given) or value[:1] == "-":  # -v- and -v-key=x
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
