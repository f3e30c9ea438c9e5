"""What a copy keeps of nodes and runs beside the lock: for turns, and for operators. Part of the specification that
state_machine.py begins.

Of each node: the newest tick that it asked for and what it would run, its last run and how that ended, and counts. Of
the key: a line of history for every run.
"""

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from cronlock.lock.copy import Copy, Fields

HISTORY_LENGTH = 100
ENTRY = "token run_tick run_attempt node pid start end outcome status".split()  # of a history line, tabs between
JOB = "schedule zone command".split()  # of job:NODE, the same way
TEXTS = ("job:", "result:")  # of nodes; all else there are numbers
RESULT = "start end outcome status success".split()  # of result:NODE; `success`: when a run last ended with status 0


def record_request(copy: "Copy", request: "Fields", time: int) -> None:
    """The newest tick that a node asked for, and what it would run now."""
    name, at = ("seen:" if request["tick"] else "asked:") + request["node"], request["tick"] or time // 1000
    if at > copy.nodes.get(name, 0):
        copy.nodes[name] = at
    if request["job"]:  # with an older tick too: that of a new schedule may be one
        copy.nodes["job:" + request["node"]] = request["job"]


def append_history(copy: "Copy", outcome: str) -> None:
    """A line of history for the run that stands here, counted for its node."""
    line = "\t".join(str(outcome if name == "outcome" else copy.get(name)) for name in ENTRY)
    copy.history = [line, *copy.history[: HISTORY_LENGTH - 1]]
    count(copy, outcome, copy.get("node"))


def count(copy: "Copy", outcome: str, node: str) -> None:
    """One more of a node's answers, or runs."""
    name = f"{outcome}:{node}"
    copy.nodes[name] = copy.nodes.get(name, 0) + 1


def record_result(copy: "Copy") -> None:
    """What the node's last run came to, and when one last ended well."""
    name = "result:" + copy.get("node")
    well = copy.get("outcome") == "ran" and copy.get("status") == 0
    success = copy.get("end") if well else copy.nodes.get(name, "\t0").rpartition("\t")[2]
    copy.nodes[name] = "\t".join(str(success if field == "success" else copy.get(field)) for field in RESULT)


def drop_gone_nodes(copy: "Copy", retention: int, time: int) -> None:
    """Forget who has not asked or run for so long: names of pods come and go."""
    heard: dict[str, int] = {}
    for name, value in copy.nodes.items():
        kind, _, node = name.partition(":")
        heard[node] = max(heard.get(node, 0), value if kind in ("seen", "asked", "last") else 0)
    gone = {node for node, at in heard.items() if at * 1000 + retention < time}
    copy.nodes = {name: value for name, value in copy.nodes.items() if name.partition(":")[2] not in gone}
