"""The guide's CronJobs: valid as written, and their pods, given what Kubernetes would give them, do what it says."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from cronlock.config.options import duration
from cronlock.run.plan import ATTEMPTS
from tests.support.commands import PATIENCE, end, environment, heir, home, wait_until
from tests.support.doc_pages import blocks
from tests.support.processes import descendants
from tests.support.servers import Server

MANIFESTS = {
    manifest["metadata"]["name"]: manifest for manifest in map(yaml.safe_load, blocks("yaml", "kubernetes.md"))
}
VERSIONS = ("1.33", kubernetes_validate.latest_version())  # the first that the page names, and the newest
PID_1 = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
AT_ONCE = 5.0  # s: a busy machine's second; a lease of the manifest would have 20 left
BEGUN = 'echo "$CRONLOCK_RUN_NODE $CRONLOCK_RUN_ATTEMPT" >> begun\n'
UNTIL_TOLD = BEGUN + "while [ ! -e enough ]; do sleep 0.05; done\n"
FOR_LONG = "trap 'exit 7' TERM\n" + BEGUN + "while :; do sleep 0.05; done\n"


# What Kubernetes does


def spec_of(name: str) -> dict[str, Any]:
    """The pod's part of a manifest."""
    spec: dict[str, Any] = MANIFESTS[name]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def expanded(text: str, env: dict[str, str]) -> str:
    """$(NAME) of variables that are known, $$ for a dollar; all else stays."""
    return re.sub(r"\$\$|\$\(([^)]*)\)", lambda found: env.get(found[1], found[0]) if found[1] else "$", text)


def variables(container: dict[str, Any], fields: dict[str, str], secrets: dict[str, str]) -> dict[str, str]:
    """A container's environment: its own words, with the downward API and the secrets looked up."""
    env: dict[str, str] = {}
    for entry in container["env"]:
        if "value" in entry:
            env[entry["name"]] = expanded(entry["value"], env)
        elif "fieldRef" in entry["valueFrom"]:
            env[entry["name"]] = fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        else:
            secret = entry["valueFrom"]["secretKeyRef"]
            env[entry["name"]] = secrets[f"{secret['name']}/{secret['key']}"]
    return env


class Pod:
    """A pod's one container: its command as a process, of cronlock under test. `alone`: PID 1 of a namespace."""

    def __init__(self, words: list[str], env: dict[str, str], *, alone: bool) -> None:
        self.process = subprocess.Popen(
            [*(PID_1 if alone else ()), sys.executable, "-m", *words],
            env=environment({"KUBERNETES_SERVICE_HOST": "10.0.0.1", **env}),
            cwd=home(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        heir().tell(f"+pid {self.process.pid}")
        self.alone = alone

    def first(self) -> int:
        """The container's first process, as the machine numbers it."""
        return next(iter(descendants(self.process.pid))) if self.alone else self.process.pid

    def evict(self) -> None:
        os.kill(self.first(), signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL for all at once, as when the node runs out of memory; nobody of them sees another die."""
        everybody = [self.first()] if self.alone else [self.process.pid, *descendants(self.process.pid)]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in everybody:
                os.kill(pid, number)
        self.process.wait(PATIENCE)

    def ended(self) -> tuple[int, str]:
        """Its status and what it said, when it has ended."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out + err


Start = Callable[..., Pod]


@pytest.fixture
def image() -> Callable[[str, str], None]:
    """image(program, script): what the container's image has on its PATH."""

    def make(program: str, script: str) -> None:
        path = home() / "bin" / program
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}")
        path.chmod(0o755)

    return make


@pytest.fixture
def start(servers: list[Server]) -> Iterator[Start]:
    """start(cronjob, ...): a pod of this hour's Job, or of `job`.

    `cluster` stands in the manifest of that cluster, `node` is where the scheduler puts the pod, `more` are options
    that the manifest does not have, and `edited` is what becomes of its words.
    """
    pods: list[Pod] = []
    minute = int(time.time()) // 60

    def start(
        name: str,
        *more: str,
        job: str = "",
        cluster: str = "",
        node: str = "node-1",
        alone: bool = False,
        edited: Callable[[list[str]], list[str]] = list,
    ) -> Pod:
        [container] = spec_of(name)["containers"]
        fields = {
            "metadata.labels['batch.kubernetes.io/job-name']": job or f"{name}-{minute}",
            "spec.nodeName": node,
        }
        env = variables(container, fields, {"cronlock/redis": " ".join(server.url for server in servers)})
        if cluster:
            env["CRONLOCK_NODE"] = cluster
        words = [expanded(word, env) for word in container["command"] + container.get("args", [])]
        assert words[:2] == ["cronlock", "run"]
        env["PATH"] = f"{home() / 'bin'}:{environment()['PATH']}"
        pods.append(Pod(["cronlock", "run", *more, *edited(words[2:])], env, alone=alone))
        return pods[-1]

    yield start
    for pod in pods:
        end(pod.process)


def begun() -> list[str]:
    """Node and attempt of each run that has begun."""
    path = Path(home(), "begun")
    return path.read_text().splitlines() if path.exists() else []


def when_begun(count: int, timeout: float = PATIENCE) -> None:
    wait_until(lambda: len(begun()) >= count, timeout, f"{count} runs")


def when_waiting(servers: list[Server], pods: int = 1) -> None:
    """Until so many pods wait for a notification of the end from a quorum at least."""

    def enough_wait() -> bool:
        counts = [sum(count for _, count in s.redis.pubsub_numsub(*s.redis.pubsub_channels())) for s in servers]
        return sum(count >= pods for count in counts) * 2 > len(servers)

    wait_until(enough_wait, PATIENCE, f"{pods} pods that wait")


in_a_pod = pytest.mark.parametrize(
    "alone", [False, pytest.param(True, marks=pytest.mark.debian)], ids=["some-process", "pid-1"]
)


# The manifests


def test_there_is_one_for_clusters_and_one_for_nodes() -> None:
    assert [name for name, manifest in MANIFESTS.items() if manifest["kind"] == "CronJob"] == ["nightly", "tidy"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_of_the_page_is_valid(name: str, version: str) -> None:
    """Strictly: a name that Kubernetes does not know is an error too."""
    kubernetes_validate.validate(MANIFESTS[name], version, strict=True)


def test_the_validation_is_strict() -> None:
    wrong = yaml.safe_load(blocks("yaml", "kubernetes.md")[0].replace("restartPolicy", "restartPolice"))
    with pytest.raises(kubernetes_validate.ValidationError, match="restartPolice"):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_pod_has_time_to_end_and_no_variables_of_services(name: str) -> None:
    """Longer than --kill-after; and cronlock refuses variables like CRONLOCK_PORT, which a Service would add."""
    assert spec_of(name)["terminationGracePeriodSeconds"] * 1000 > duration("10s")
    assert spec_of(name)["enableServiceLinks"] is False


def test_a_job_makes_no_more_pods_than_there_are_attempts() -> None:
    """One more would find that they came to nothing."""
    job = MANIFESTS["nightly"]["spec"]["jobTemplate"]["spec"]
    assert job["backoffLimit"] + 1 == ATTEMPTS
    assert MANIFESTS["tidy"]["spec"]["jobTemplate"]["spec"]["backoffLimitPerIndex"] == 0


def test_a_dead_pod_is_followed_within_30_s_and_a_grace_is_longer_than_kill_after(start: Start) -> None:
    """What a dry run of the manifest's words prints."""
    status, printed = start("nightly", "--dry-run").ended()
    assert status == 0, printed
    facts = dict(re.findall(r"^(\S.*?) {2,}(.*)$", printed, re.MULTILINE))
    assert facts["node"] == "cluster-a"
    assert facts["lease"].startswith("30s from now")
    assert duration(facts["kill after"]) < spec_of("nightly")["terminationGracePeriodSeconds"] * 1000


# One in all clusters


def test_a_second_pod_stays_and_exits_0_without_running_and_so_does_a_late_one(
    start: Start, image: Callable[[str, str], None], servers: list[Server]
) -> None:
    """Of the same Job, and of that of another cluster."""
    image("nightly", UNTIL_TOLD)
    first = start("nightly")
    when_begun(1)
    waiting = [start("nightly"), start("nightly", cluster="cluster-b")]
    when_waiting(servers, len(waiting))
    Path(home(), "enough").touch()
    late = start("nightly", cluster="cluster-b")
    assert [pod.ended() for pod in (first, *waiting, late)] == [(0, "")] * 4
    assert begun() == ["cluster-a 1"]


def test_a_command_that_fails_has_three_attempts_in_all_clusters(
    start: Start, image: Callable[[str, str], None]
) -> None:
    """Each pod has the command's status; one more says that they came to nothing."""
    image("nightly", BEGUN + "exit 3\n")
    pods = [start("nightly", cluster=cluster).ended() for cluster in ("cluster-a", "cluster-b", "cluster-a")]
    assert pods == [(3, "")] * 3
    assert begun() == ["cluster-a 1", "cluster-b 2", "cluster-a 3"]
    status, said = start("nightly", cluster="cluster-b").ended()
    assert status == 121
    assert "failed: attempt 3 at the tick of " in said
    assert len(begun()) == 3


@in_a_pod
def test_an_evicted_pod_gives_its_run_back_at_once(
    alone: bool, start: Start, image: Callable[[str, str], None], servers: list[Server]
) -> None:
    """It ends with the command's status; a pod of another cluster starts, and it is the first attempt still."""
    image("nightly", FOR_LONG)
    first = start("nightly", alone=alone)
    when_begun(1)
    second = start("nightly", cluster="cluster-b")
    when_waiting(servers)
    first.evict()
    when_begun(2, AT_ONCE)
    assert first.ended()[0] == 7
    assert begun() == ["cluster-a 1", "cluster-b 1"]
    second.evict()
    assert second.ended()[0] == 7


@in_a_pod
def test_a_killed_pods_successor_waits_runs_and_never_exits_0_without_the_work(
    alone: bool, start: Start, image: Callable[[str, str], None]
) -> None:
    """Within a second of the kill, of the same Job; with the shortest lease, which the manifest does not have."""
    shortest = ("--ttl", "7s")
    image("nightly", FOR_LONG)
    first = start("nightly", *shortest, alone=alone)
    when_begun(1)
    image("nightly", BEGUN)
    first.kill()
    killed = time.monotonic()
    status, said = start("nightly", *shortest).ended()
    waited = time.monotonic() - killed
    assert (status, begun()) == (0, ["cluster-a 1", "cluster-a 2"])
    assert "on cluster-a never ended" in said
    assert waited > 7 * 0.9 - 7 / 3, "the lease was extended when a third of it had gone"


def test_a_job_made_by_hand_is_refused_and_runs_as_the_page_says(
    start: Start, image: Callable[[str, str], None]
) -> None:
    """The line names --again, which runs beside no other and leaves the tick alone."""
    image("nightly", BEGUN)

    def by_hand(words: list[str]) -> list[str]:
        at = words.index("--tick")
        words[at : at + 2] = ["--again"]
        return [word for word in words if word not in ("--failover", "--retry-failed")]

    assert start("nightly").ended() == (0, "")
    status, said = start("nightly", job="nightly-by-hand").ended()
    assert status == 125
    assert re.fullmatch(r"cronlock: nightly: refused: .*by hand.*--again.*\n", said)
    assert start("nightly", job="nightly-by-hand", edited=by_hand).ended()[0] == 0
    assert start("nightly").ended() == (0, "")
    assert begun() == ["cluster-a 1"] * 2


@pytest.mark.parametrize(("tick", "status"), [("2026-10-25T00:30Z", 0), ("2026-10-25T01:30Z", 125)])
def test_the_second_half_past_two_of_an_autumn_night_is_no_tick_for_cron(start: Start, tick: str, status: int) -> None:
    """Kubernetes makes a Job for each: so the page has no --schedule in zones with daylight saving time."""
    schedule = ("--schedule", "30 2 * * *", "--tz", "Europe/Berlin", "--dry-run")
    ended = start("nightly", *schedule, edited=lambda words: [tick if re.search("-[0-9]{8}$", w) else w for w in words])
    assert ended.ended()[0] == status


# One on each node


def test_each_node_runs_and_a_second_pod_on_one_does_not(start: Start, image: Callable[[str, str], None]) -> None:
    """A node is the one that the downward API names."""
    image("tidy", BEGUN)
    for node in ("node-1", "node-2", "node-1"):
        assert start("tidy", node=node).ended() == (0, "")
    assert begun() == ["node-1 1", "node-2 1"]
