"""The commands that messages suggest: with the flags that name the same servers, so that they can be pasted."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING
from urllib.parse import quote as percent_encoded
from urllib.parse import urlencode

from cronlock.config.redis_url import VALUES

if TYPE_CHECKING:
    from cronlock.config.redis_url import Address
    from cronlock.config.settings import Settings

IN_ENVIRONMENT = ("CRONLOCK_", "REDIS_")  # the fronts of variables: a crontab may set them, an operator's shell not


def suggested_command(command: str, flags: str, key: str, node: str = "") -> str:
    """Return `cronlock COMMAND FLAGS KEY`; with `node` for the record that this node has of its own (--each)."""
    own = f"--each --node {quote(node)} " if node else ""
    return f"cronlock {command} {flags}{own}{quote(key)}"


def location_flags(settings: Settings) -> str:
    """Return the flags that name these servers, each with a space behind; empty where a settings file names them.

    URLs with a login are left out, because no message shows a password.
    """
    words: list[str] = []
    if _is_of_this_call(settings, "local"):
        words.append("--local")
    elif _is_of_this_call(settings, "redis") and not any(map(_has_login, settings.redis)):
        words += [word for address in settings.redis for word in ("--redis", public_url(address))]
    if settings.config and _is_of_this_call(settings, "config"):
        words += ["--config", settings.config]
    if _is_of_this_call(settings, "prefix"):
        words += ["--prefix", settings.prefix]
    return "".join(f"{quote(word)} " for word in words)


def _is_of_this_call(settings: Settings, name: str) -> bool:
    source = settings.source(name)
    return source == "command line" or source.startswith(IN_ENVIRONMENT)


def _has_login(address: Address) -> bool:
    secrets = (address.username, address.password, (address.tls or {}).get("ssl_password"))
    return any(secrets) or any(map(_has_login, address.sentinels))


def public_url(address: Address) -> str:
    """Return the URL of an address, without user and passwords."""
    options = {name: value for name, value in (address.tls or {}).items() if name != "ssl_password"}
    options = {name: value for name, value in options.items() if value != VALUES.get(name, ("",))[0]}
    if address.path:
        front, options = f"unix://{percent_encoded(address.path)}", {"db": str(address.db)} if address.db else {}
    else:
        scheme = "redis" if address.tls is None else "rediss"
        hosts = address.label
        if address.sentinels:
            scheme += "+sentinel"
            service = percent_encoded(address.service, safe="")
            hosts = f"{','.join(sentinel.label for sentinel in address.sentinels)}/{service}"
            hosts += f"/{address.db}" if address.db else ""
        front = f"{scheme}://{hosts}"
    return front + (f"?{urlencode(options, safe='/')}" if options else "")
