"""The words between a node and its voters: what record.py answers, and the sizes that both of them know."""

PREPARE_LEASE = 2_000  # ms: long enough for two round trips, short enough that a dead candidate blocks nobody for long
RETENTION = 30 * 86_400_000  # ms: tick and token must not vanish with the lease

OK, BUSY, HELD, DONE, PAUSED, LATE, YIELD = "ok", "busy", "held", "done", "paused", "late", "yield"
OTHER, NEWER, EXPIRED = "other", "newer", "expired"  # why commit, extend and finish are not done
SETTINGS, CLOCK = "settings", "clock"  # why prepare is refused
ADOPTED = "adopted"  # the outcome that an adoption leaves

LARGEST = 2**53  # what Lua's numbers hold exactly, and more than any time or tick
ANSWERED = frozenset(  # what every answer has
    "answer now time run_id reborn left token tick tick1 tick2 state attempt kind node pid start run_tick run_attempt"
    " outcome settings settings_by paused_until pause_reason".split()
)
NUMBERS = frozenset(
    "token tick tick1 tick2 attempt lease_end lease pid start end run_tick run_attempt next status missed missed_tick"
    " paused_until not_after late_at over_at attempts again fair counts retention time now left reborn wait"
    " until".split()
)
