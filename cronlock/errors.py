"""What cronlock raises, one tree:

    CronlockError            never raised itself
    |-- Refused              125: usage, configuration, other settings, a clock
    |-- Unreachable          122: no quorum answered in time, nothing was started
    `-- Interrupted          128+n: signal n came before the command started

Not getting the lock is no error: held, done, paused and late are values (run/session.py). Losing it and running
out of time are ends of a run that started (run/supervisor.py). Every message is one line that says what to do.
"""


class CronlockError(Exception):
    """Base of all; `status` is what the process exits with."""

    status = 125


class Refused(CronlockError):
    """Raised when cronlock will not start the command until somebody changes something."""


class Unreachable(CronlockError):
    """Raised when no quorum of the voters agreed in time; `outage`: because too few of them answered."""

    status = 122

    def __init__(self, message: str, outage: bool = True) -> None:
        super().__init__(message)
        self.outage = outage


class Interrupted(CronlockError):
    """Raised when a signal ends cronlock before the command was started."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"signal {signum}")
        self.signum = signum
        self.status = 128 + signum
