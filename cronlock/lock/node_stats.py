"""The data on nodes and runs that a copy keeps beside the lock: for turns, and for operators.

Part of the specification in state_machine.py. For each node: the newest tick that it requested, the job that it would
run, its last run and how that ended, and counts. For the key: a history line for each of the last runs.
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
    """Record the newest tick that a node requested, and the job that it would run."""
    name, at = ("seen:" if request["tick"] else "asked:") + request["node"], request["tick"] or time // 1000
    if at > copy.nodes.get(name, 0):
        copy.nodes[name] = at
    if request["job"]:  # with an older tick too: the first tick of a new schedule may be one
        copy.nodes["job:" + request["node"]] = request["job"]


def append_history(copy: "Copy", outcome: str) -> None:
    """Append a history line for the run in the record, and count it for its node."""
    line = "\t".join(str(outcome if name == "outcome" else copy.get(name)) for name in ENTRY)
    copy.history = [line, *copy.history[: HISTORY_LENGTH - 1]]
    count(copy, outcome, copy.get("node"))


def count(copy: "Copy", outcome: str, node: str) -> None:
    """Count an answer to a node, or the outcome of its run."""
    name = f"{outcome}:{node}"
    copy.nodes[name] = copy.nodes.get(name, 0) + 1


def record_result(copy: "Copy") -> None:
    """Record the result of the node's last run, and when one of its runs last succeeded."""
    name = "result:" + copy.get("node")
    well = copy.get("outcome") == "ran" and copy.get("status") == 0
    success = copy.get("end") if well else copy.nodes.get(name, "\t0").rpartition("\t")[2]
    copy.nodes[name] = "\t".join(str(success if field == "success" else copy.get(field)) for field in RESULT)


def drop_gone_nodes(copy: "Copy", retention: int, time: int) -> None:
    """Drop nodes that have neither requested nor run anything for `retention` ms: names of pods come and go."""
    last_seen: dict[str, int] = {}
    for name, value in copy.nodes.items():
        kind, _, node = name.partition(":")
        last_seen[node] = max(last_seen.get(node, 0), value if kind in ("seen", "asked", "last") else 0)
    gone = {node for node, at in last_seen.items() if at * 1000 + retention < time}
    copy.nodes = {name: value for name, value in copy.nodes.items() if name.partition(":")[2] not in gone}
