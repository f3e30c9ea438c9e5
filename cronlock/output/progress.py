"""The line on a terminal while cronlock waits for a lock: its holder, and for how long the lock has been held."""

import time
from datetime import timedelta

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cronlock.messages import printable


class WaitingLine:
    """A line that is erased after the wait. No thread draws the line, since a command may be forked meanwhile."""

    def __init__(self, key: str, what: str) -> None:
        self._front = f"cronlock: {printable(key)}: {what}"
        self._holder, self._since, self._text = "", 0, ""
        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
        self._live.start()

    def set_holder(self, holder: str, since: int) -> None:
        """Set the holder, and the start of its run in ms of the wall clock."""
        self._holder, self._since = printable(holder), since
        self.refresh()

    def refresh(self) -> None:
        """Redraw the line if its text has changed; one call per second is enough."""
        held = timedelta(seconds=max(0, int(time.time()) - self._since // 1000))
        text = f"{self._front} ({held}), {self._holder}"  # a narrow terminal cuts off the end
        if text != self._text:
            self._text = text
            self._live.update(Text(text, overflow="ellipsis", no_wrap=True), refresh=True)

    def close(self) -> None:
        self._live.stop()
