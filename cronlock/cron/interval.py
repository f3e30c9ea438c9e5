"""The schedule `@every 90m`: the multiples of an interval since the epoch, so all nodes agree on the ticks.

cron does not know it: some crontab line, timer or loop calls cronlock at least as often, and one node runs once per
interval. Time zones and changes of the clock mean nothing to it.
"""

from cronlock.config.options import duration, spell
from cronlock.errors import Refused

INTERVAL_MIN = 10_000  # ms: shorter than a tick's slack twice, a call could not say which tick it is for
INTERVAL_MAX = 2_678_400_000  # ms, 31 days: a record lives for three periods, and nobody waits longer for a first run


class Interval:
    """The instants of one interval, of `length` ms."""

    any_zone = True  # they are the same in every zone

    def __init__(self, word: str, length: int) -> None:
        self._length = length // 1000  # s
        self.text = f"{word} {spell(length)}"  # one text for `90m` and `5400`

    def nearest(self, at: int, *, later: bool) -> int:
        """Return the first instant after `at`, or the last one not after it."""
        return at - at % self._length + (self._length if later else 0)


def parse_interval(fields: list[str]) -> Interval:
    """Return the interval in the words of an expression, `@every` and a duration. Raises Refused for any other."""
    try:
        word, text = fields
        length = duration(text)
    except ValueError:
        length = 0
    if length % 1000 or not INTERVAL_MIN <= length <= INTERVAL_MAX:
        what = f"schedule {' '.join(fields)!r} has no interval of whole seconds from 10s to 31d"
        raise Refused(f'{what}: write, in quotes, "@every 90m"')
    return Interval(word, length)
