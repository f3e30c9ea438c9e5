"""The exit statuses of cronlock, and the errors that it raises, one tree:

    CronlockError            never raised itself
    |-- Refused              125
    |-- Unreachable          122
    `-- Interrupted          128+n

A lock that is held, done, paused or late is not an error but a value (run/session.py). A lost lease and a time limit
end a run that has started (run/supervisor.py). Every message is one line that says what to do.
"""

WAIT_EXPIRED = 75  # EX_TEMPFAIL of sysexits.h: users of flock read it as "try again"
GAVE_UP = 121  # no node will start this tick again, so a monitor has to see a status that is not 0
UNREACHABLE = 122
LOST = 123
TIMED_OUT = 124  # as timeout(1)
REFUSED = 125  # as timeout(1) and env(1): a failure of cronlock must not look like one of the command
CANNOT_EXECUTE, NOT_FOUND = 126, 127  # as the shell and env(1)
SIGNALLED = 128  # plus the number of the signal, as the shell

EXIT_STATUSES = (  # README, the man page, `cronlock run --help` and the tests have this table
    ("the command's own", "the command ran; 128+n when signal n ended it"),
    ("0, or N with -E N", "held, done, paused or late: nothing was started here"),
    (f"{WAIT_EXPIRED}", "gave up waiting: --wait expired, and -E is not given"),
    (f"{GAVE_UP}", "failed: the last attempt of --failover failed too"),
    (f"{UNREACHABLE}", "unreachable: no quorum answered; nothing was started"),
    (f"{LOST}", "lost: the lease was lost and the command was stopped"),
    (f"{TIMED_OUT}", "timed out: --max-runtime expired; the command was stopped"),
    (f"{REFUSED}", "refused: wrong usage, configuration, voters or clock"),
    (f"{CANNOT_EXECUTE}", "the command can't be executed"),
    (f"{NOT_FOUND}", "the command was not found"),
    (f"{SIGNALLED}+n", "signal n arrived before the command was started"),
)


class CronlockError(Exception):
    """Base of all errors; `status` is the exit status of the process."""

    status = REFUSED


class Refused(CronlockError):
    """Raised when cronlock can't start the command until an operator changes something."""


class Unreachable(CronlockError):
    """Raised when no quorum of the voters agreed in time; `outage`: because too few of them answered."""

    status = UNREACHABLE

    def __init__(self, message: str, outage: bool = True) -> None:
        super().__init__(message)
        self.outage = outage


class Interrupted(CronlockError):
    """Raised when a signal ends cronlock before the command has started."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"signal {signum}")
        self.signum = signum
        self.status = SIGNALLED + signum


class TlsError(Exception):
    """Raised inside servers/ and survey/ when TLS can't protect a connection as its URL asks; waiting does not help."""

    def __init__(self, what: str, todo: str = "") -> None:
        super().__init__(f"{what}: {todo}" if todo else what)
        self.what, self.todo = what, todo
