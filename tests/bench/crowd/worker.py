"""A process full of nodes, controlled through a pipe: make nodes, start them, end the command, stop."""

import gc
import multiprocessing
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from tests.bench.crowd.hub import Hub
from tests.bench.crowd.node import Node, NodeResult, Question

READY, GO, ANSWERED, END, STOP = "ready", "go", "answered", "end", "stop"


@dataclass
class Report:
    """A process's report after a tick; CPU in seconds, lag in ms."""

    results: list[NodeResult]
    cpu: float
    lag: int


class Worker:
    """A process with some of the nodes, as its parent sees it."""

    def __init__(self, names: list[str]) -> None:
        self.count = len(names)
        self.pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        self.process = context.Process(target=_work, args=(theirs, names), daemon=True)
        self.process.start()
        theirs.close()

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _work(pipe: Connection, names: list[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            questions: list[Question] = pipe.recv()
        except EOFError:
            return
        pipe.send(_tick(pipe, list(zip(names, questions, strict=True))))


def _tick(pipe: Connection, asked: Iterable[tuple[str, Question]]) -> Report:
    hub = Hub()
    waiting, control_pending = 0, True

    def on_answer() -> None:
        nonlocal waiting
        waiting -= 1
        if not waiting:
            pipe.send(ANSWERED)

    nodes = [Node(hub, name, question, on_answer) for name, question in asked]
    waiting = len(nodes)

    def on_control() -> None:
        nonlocal control_pending
        control_pending = False
        hub.ended = pipe.recv() == STOP
        for node in nodes:
            node.over = True

    gc.collect()
    gc.freeze()
    pipe.send(READY)
    assert pipe.recv() == GO
    begun = time.process_time()
    hub.run([(node.loop, node.live) for node in nodes], pipe.fileno(), on_control)
    report = Report([node.result for node in nodes], time.process_time() - begun, hub.lag)
    if control_pending:  # the command ran in another process
        pipe.recv()
    for node in nodes:
        node.close()
    hub.close()
    gc.unfreeze()
    return report
