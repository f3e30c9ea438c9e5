"""The settings of one call, merged from the command line, the environment and the files, each value with its source.

The nearer source wins: flag, then environment, then file; in a file a [keys.NAME] table before the top level, and the
user's file before the system's. cronlock's own variables and names beat REDIS_URL and REDIS_HOST: a shell that has an
application's REDIS_URL must not lock on another server than cron does.
"""

import os

from cronlock.config.options import BY_NAME, OPTIONS, Option, boolean, node
from cronlock.config.redis_url import parse
from cronlock.errors import Refused
from cronlock.messages import PASSWORD

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from cronlock.config.redis_url import Address

    Values = dict[str, Any]  # by option name
    Layer = tuple[str, Values]  # a source, and its values

SYSTEM_FILE = "/etc/cronlock.toml"
USER_FILE = "~/.config/cronlock.toml"
COMMAND_LINE, ENVIRONMENT = "command line", "environment"
EXCLUSIVE = (("once", "each"), ("redis", "local"), ("verbose", "quiet"))  # the nearer source of the two wins
PREFIX, RUN_PREFIX = "CRONLOCK_", "CRONLOCK_RUN_"  # of variables: those of cronlock, and those that a command gets
FILE_TYPE, REGULAR = 0o170000, 0o100000  # inode(7)
READ_BY_OTHERS, WRITTEN_BY_OTHERS = 0o004, 0o002  # a file's mode; an administrator chose its group
FILE_MAX = 262_144  # bytes: a thousand keys with a table each take less, and tomllib reads so many in a second


class Settings:
    """The value of each option for one call, and in `sources` where it came from.

    An option without a value is None, False or empty; durations are ms.
    """

    key: str
    once: bool
    each: bool
    no_fair: bool
    again: bool
    schedule: str | None
    tz: str | None
    tick: str | None
    ttl: int | None
    wait: int
    splay: int
    start_within: int | None
    failover: bool
    retry_failed: bool
    outage_wait: int | None
    on_outage: str
    max_runtime: int | None
    kill_after: int | None
    conflict_exit_code: int
    redis: "list[Address]"
    local: bool
    prefix: str
    node: str
    config: str | None
    dry_run: bool
    verbose: bool
    quiet: bool
    syslog: bool

    def __init__(self, values: "Mapping[str, Any]", sources: "dict[str, str]") -> None:
        self.sources = sources
        for option in OPTIONS:
            empty = None if option.parse else False
            setattr(self, option.name.replace("-", "_"), values.get(option.name, empty))

    @property
    def mode(self) -> str:
        """The mode, once or each."""
        return "each" if self.each else "once"

    def source(self, name: str) -> str:
        """Return where the value of an option came from."""
        return self.sources.get(name, "default")


def load(
    given: "Mapping[str, Any]",
    environ: "Mapping[str, str]",
    usual: "Iterable[str]" = (USER_FILE, SYSTEM_FILE),
    user: int | None = None,
) -> Settings:
    """Return the settings of a call whose command line gave `given`. Raises Refused, with the source of the fault.

    `usual`: the files that are read when none is named, the nearer first; they may be missing. `user`: the uid of the
    reader, if it is not this process.
    """
    owners = (0, os.geteuid() if user is None else user)
    variables = _variables(environ)
    layers: list[Layer] = [
        (COMMAND_LINE, dict(given)),
        (ENVIRONMENT, variables),
    ]
    path = given.get("config") or variables.get("config")
    paths = [path] if path else _usual(usual)
    files = [(name, _read(name, owners, named=bool(path), own=user is None)) for name in paths]
    key = given.get("key") or variables.get("key") or next((top["key"] for _, (top, _) in files if "key" in top), None)
    layers += [(f"{name} [keys.{key}]", keys[key]) for name, (_, keys) in files if key in keys]
    layers += [(name, top) for name, (top, _) in files]
    values, sources = _merge(layers)
    if not values.get("redis") and not values.get("local"):
        from cronlock.config.redis_variables import server_in

        values["redis"], sources["redis"] = server_in(environ)
    else:
        values["redis"] = [parse(url, sources["redis"]) for url in values.get("redis", ())]
    _fill(values, sources)
    return Settings(values, sources)


def _usual(files: "Iterable[str]") -> list[str]:
    """Return absolute paths; a relative or missing HOME would lead to a file in a working directory of any user."""
    return [path for path in map(os.path.expanduser, files) if os.path.isabs(path)]


def _merge(layers: "Iterable[Layer]") -> "tuple[Values, dict[str, str]]":
    values: Values = {}
    sources: dict[str, str] = {}
    for source, layer in layers:
        for one, other in EXCLUSIVE:
            if layer.get(one) and layer.get(other):
                raise Refused(f"{source}: {one} and {other} exclude each other: give one of them")
        excluded = {name for pair in EXCLUSIVE for name, rival in (pair, pair[::-1]) if values.get(rival)}
        for name, value in layer.items():
            if name not in values and name not in excluded:
                values[name] = value
                sources[name] = BY_NAME[name].variable if source == ENVIRONMENT else source
    return values, sources


def _fill(values: "Values", sources: "dict[str, str]") -> None:
    values.setdefault("redis", [])
    values.setdefault("prefix", "cronlock")
    values.setdefault("on-outage", "fail")
    values.setdefault("conflict-exit-code", 0)
    values.setdefault("wait", 0)
    values.setdefault("splay", 0)
    if "node" not in values:
        host = os.uname().nodename
        try:
            values["node"] = node(host or "localhost")
        except ValueError as error:
            raise Refused(f"the host name can't be a node's name: {error}: pass --node") from None
        sources["node"] = "host name"


def _variables(environ: "Mapping[str, str]") -> "Values":
    ours = [
        (name, text) for name, text in environ.items() if name.startswith(PREFIX) and not name.startswith(RUN_PREFIX)
    ]
    known = {option.variable: option for option in OPTIONS} if ours else {}  # most crontabs set none
    values: Values = {}
    for variable, text in ours:
        if variable not in known and _is_service_link(variable, environ):
            continue
        if variable not in known:
            raise _unknown(f"unknown variable {variable}", variable, known)
        option = known[variable]
        if text[:1] in ('"', "'") and len(text) > 1 and text[-1] == text[0]:
            raise Refused(f"{variable} is in quotes, which would be part of the value: remove them")
        values[option.name] = text.split() if option.many else _parse_value(option, text, variable)
        if option.many and not values[option.name]:
            raise Refused(f"{variable}: it is empty: give a URL, or unset it")
    return values


def _is_service_link(variable: str, environ: "Mapping[str, str]") -> bool:
    """Return whether Kubernetes has set the variable, for a Service whose name begins with cronlock."""
    return "KUBERNETES_SERVICE_HOST" in environ and ("_SERVICE_" in variable or "_PORT" in variable)


def _parse_value(option: Option, text: str, source: str) -> "Any":
    try:
        return option.parse(text) if option.parse else boolean(text)
    except ValueError as error:
        raise Refused(f"{source}: {error}") from None


def _read_bytes(path: str, pipes_of: tuple[int, ...]) -> tuple[bytes, os.stat_result]:
    """Return the bytes of a file, or of a pipe or device of one of these users, and its status. Raises OSError."""
    status = os.stat(path)
    from cronlock.files import read_at_most, read_regular  # most machines have one of the usual files, or none

    if pipes_of and status.st_rdev and status.st_rdev == os.stat(os.devnull).st_rdev:  # of any owner
        return b"", status
    if not pipes_of or status.st_mode & FILE_TYPE == REGULAR or status.st_uid not in pipes_of:
        return read_regular(path, FILE_MAX)
    fd = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        return read_at_most(fd, FILE_MAX), os.fstat(fd)
    finally:
        os.close(fd)


def _read(path: str, owners: tuple[int, ...], named: bool, own: bool) -> "tuple[Values, dict[str, Values]]":
    """Return the top level of a file, and its tables by key. `owners` are the trusted uids.

    A file that is `named` must exist. An operator may name a pipe or /dev/null for a call of their `own`; a pipe that
    another user's line names could block the reader.
    """
    try:
        data, status = _read_bytes(path, owners if named and own else ())
    except (OSError, ValueError) as error:
        if not named and isinstance(error, FileNotFoundError | NotADirectoryError):
            return {}, {}
        from cronlock.files import cure_of_unreadable

        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise Refused(f"can't read {path}: {reason}: {cure_of_unreadable(error)}") from None
    if not named and status.st_uid not in owners:  # ssh and cron do not trust such a file either
        raise Refused(
            f"{path} is owned by uid {status.st_uid}, who could redirect the lock: chown it, or pass --config"
        )
    mode = status.st_mode if status.st_mode & FILE_TYPE == REGULAR else 0  # that of /dev/null or a pipe means nothing
    if mode & WRITTEN_BY_OTHERS:
        raise Refused(f"{path} is world-writable, so anyone could redirect the lock: chmod o-w {path}")
    from cronlock.config.toml_subset import parse_toml

    try:
        content = parse_toml(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        from cronlock.config.toml_faults import not_toml

        raise not_toml(path, data, error) from None
    tables = content.pop("keys", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise Refused(f"{path}: keys must hold tables: write [keys.NAME]")
    top = _checked(content, path)
    found = {key: _checked(table, path, key) for key, table in tables.items()}
    if mode & READ_BY_OTHERS and any(has_password(values.get("redis", ())) for values in (top, *found.values())):
        raise Refused(f"{path} contains a password and is world-readable: chmod o-r {path}")
    return top, found


def has_password(urls: "Iterable[str | None]") -> bool:
    """Return whether one of these URLs, as they were given, contains a password."""
    for url in urls:
        login = (url or "").partition("://")[2].partition("?")[0].rpartition("@")[0]
        if login.partition(":")[2] or PASSWORD in (url or "").lower():
            return True
    return False


def _checked(content: "Values", path: str, key: str | None = None) -> "Values":
    """Return the values of a file's top level, or of the table of a key.

    Raises Refused for an unknown name or a value of a wrong type.
    """
    table = path if key is None else f"{path} [keys.{key}]"
    values: Values = {}
    for name, value in content.items():
        source = f"{table}: {name}"
        option = BY_NAME.get(name)
        if name == "key" and key is not None:
            raise Refused(f"{source}: the name of the table is the key: remove it")
        if option is None or (name == "key" and isinstance(value, dict)):
            from cronlock.config.toml_faults import unknown_name

            raise unknown_name(path, key, name, value)
        if name == "config":
            raise Refused(f"{source}: a settings file can't name another one: remove it")
        if option.many:
            urls = [value] if isinstance(value, str) else value
            if not isinstance(urls, list) or not urls or not all(isinstance(url, str) for url in urls):
                raise Refused(f"{source}: write a URL in quotes, or several in brackets")
            values[name] = urls
        elif not option.parse:
            if not isinstance(value, bool):
                raise Refused(f"{source}: write true or false")
            values[name] = value
        elif isinstance(value, bool) or not isinstance(value, str | int):
            raise Refused(f"{source}: write the value in quotes")
        else:
            values[name] = _parse_value(option, str(value), source)
    return values


def _unknown(message: str, name: str, known: "Iterable[str]") -> Refused:
    from cronlock.config.unknown_names import advice

    return Refused(f"{message}: {advice(name, known)}")
