"""A copy on a server as a side of the same steps: asked through the script, looked at behind its back."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from cronlock.lock import state_machine
from cronlock.lock.node_stats import TEXTS
from cronlock.lock.protocol import NUMBERS
from cronlock.servers.placement import copies
from tests.support.commands import ROOT
from tests.support.random_steps import HISTORY, NODES, RECORD, SLACK, Fields
from tests.support.side_by_side import Pair, State

if TYPE_CHECKING:
    from tests.support.fake_servers import FakeServer
    from tests.support.servers import Server

SCRIPT = (ROOT / "cronlock" / "servers" / "scripts" / "record.lua").read_text(encoding="utf-8")
KEYS = copies("cronlock", "a job", count=1)[0].keys
EACH_KEYS = copies("cronlock", "another job", "web-1", count=1)[0].keys
LINE, MAIN = 3, 4
MISSING, FOR_GOOD = -2, -1  # a key's time to live


def encoded(value: object) -> bytes:
    """Return the bytes of a value in a request."""
    return str(value).encode("utf-8", "surrogateescape")


def typed(fields: dict[str, str]) -> Fields:
    """Return the fields of a reply, those with numbers as numbers."""
    return {name: int(value) if name in NUMBERS else value for name, value in fields.items()}


class Stored:
    """The copy on a server, in keys of one job."""

    lag = SLACK

    def __init__(self, server: "Server | FakeServer", keys: tuple[bytes, ...] = KEYS, **login: Any) -> None:
        self.keys = keys
        self.redis = server.client(encoding="utf-8", encoding_errors="surrogateescape", **login)
        self.plain = server.client(encoding="utf-8", encoding_errors="surrogateescape")
        self.run_id = server.stamp
        self.digest = self.redis.script_load(SCRIPT)

    def call(self, operation: str, ask: Fields) -> Fields:
        """Return the script's answer."""
        words = [encoded(word) for pair in ask.items() for word in pair]
        flat = self.redis.evalsha(self.digest, len(self.keys), *self.keys, operation, *words)
        assert all(isinstance(item, str) for item in flat)  # a number would lose digits
        return typed(dict(zip(flat[::2], flat[1::2], strict=True)))

    def now(self) -> int:
        """Return the server's clock in ms."""
        return self.clocks()[0]

    def clocks(self) -> tuple[int, int]:
        """Return the same clock twice: a server has no other one."""
        return (milliseconds(self.plain.time()),) * 2

    @property
    def record(self) -> Fields:
        """The fields of the record."""
        return self.state()[RECORD]

    @property
    def nodes(self) -> dict[str, int]:
        """The fields of the nodes."""
        return self.state()[NODES]

    @property
    def history(self) -> list[str]:
        """The lines of the history."""
        return self.state()[HISTORY]

    def state(self) -> State:
        """Return the three parts; keep how long they stay from now on."""
        pipe = self.plain.pipeline(transaction=False)
        record, nodes, history = self.keys[:3]
        pipe.hgetall(record).hgetall(nodes).lrange(history, 0, -1)
        for key in (record, nodes, history):
            pipe.pttl(key)
        fields, nodes, history, *self.left, time = pipe.time().execute()
        self.looked_at = (milliseconds(time),) * 2
        return (
            typed(fields),
            {name: value if name.startswith(TEXTS) else int(value) for name, value in nodes.items()},
            history,
        )

    def expires(self) -> int:
        """Return the time at which the record that was looked at expires, or 0."""
        left = self.left[RECORD]
        return self.looked_at[0] + left if left >= 0 else 0

    def put(self, part: int, values: Fields) -> None:
        """Write fields past the script."""
        self.plain.hset(self.keys[part], mapping={encoded(name): encoded(value) for name, value in values.items()})
        if part == NODES:
            for name, value in values.items():
                kind, _, node = name.partition(":")
                if kind in ("seen", "last"):  # what the script does with the line when it writes these
                    self.plain.zadd(self.keys[LINE], {encoded(node): value if kind == "last" else 0}, nx=kind == "seen")

    def forget(self, parts: set[int]) -> None:
        """Delete parts."""
        self.plain.delete(*[self.keys[part] for part in parts | ({LINE} if NODES in parts else set())])


def milliseconds(time: tuple[int, int]) -> int:
    """Return the answer to TIME in ms."""
    seconds, micros = time
    return int(seconds) * 1000 + int(micros) // 1000


class OnServer(Pair):
    """The pure copy beside one on a server, which keeps three keys where the pure copy has one time.

    Both begin empty, and so does all else on the server. With EACH_KEYS it is a node's own record.
    """

    def __init__(self, stored: Stored, met: "Counter[tuple[str, str]] | None" = None) -> None:
        self.stored = stored
        self.stored.plain.flushall()
        super().__init__(stored, met, {} if len(stored.keys) > MAIN else None)

    def pause_all(self, distance: int, reason: str) -> None:
        """Write into the key's main record, if this is another one, until when it is paused."""
        if self.pure.main is not None:
            self.pure.main.update(paused_until=self.stored.now() + distance if distance else 0, pause_reason=reason)
            self.stored.put(MAIN, self.pure.main)

    def ask(self, operation: str, holder: str, fields: Fields) -> Fields:
        """Compare the two answers and copies, and how long the server's keys stay."""
        again = operation == "finish" and not self.pure.is_current_holder({"token": 0, **fields, "holder": holder})
        answer = super().ask(operation, holder, fields)
        left = [left for left in self.stored.left if left != MISSING]
        if answer["answer"] == state_machine.OK and operation in ("commit", "extend", "finish", "pause") and not again:
            assert max(left) - min(left) < SLACK, "its keys go together"
        elif operation == "prepare" and not self.pure.get("paused_until"):
            assert self.stored.left[NODES] != FOR_GOOD
        return answer
