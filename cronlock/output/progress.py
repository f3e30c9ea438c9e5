"""What a terminal shows while cronlock waits for a lock: one line, who holds it and for how long already."""

import time
from datetime import timedelta

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cronlock.messages import printable


class Waiting:
    """A line that is gone when the wait is over. No thread draws it: a command may be forked meanwhile."""

    def __init__(self, key: str, what: str) -> None:
        self._front = f"cronlock: {printable(key)}: {what}"
        self._holder, self._since, self._text = "", 0, ""
        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
        self._live.start()

    def tell(self, holder: str, since: int) -> None:
        """Who holds it, and since when in ms of the wall clock."""
        self._holder, self._since = printable(holder), since
        self.refresh()

    def refresh(self) -> None:
        """Once a second is enough."""
        held = timedelta(seconds=max(0, int(time.time()) - self._since // 1000))
        text = f"{self._front} ({held}), {self._holder}"  # a narrow terminal cuts its end
        if text != self._text:
            self._text = text
            self._live.update(Text(text, overflow="ellipsis", no_wrap=True), refresh=True)

    def close(self) -> None:
        self._live.stop()
