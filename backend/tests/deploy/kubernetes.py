"""Tries a whole installation on Kubernetes, under load, and says what failed.

    python -m tests.deploy.kubernetes taskapi:dev

It applies `deploy/k8s/overlays/trial` with this image, and with secrets made at random, to the cluster of KUBECONFIG, waits
until everything works, and then, while requests are sent and a ledger of what was acknowledged is kept: measures what a
request costs, replaces every pod, evicts every pod as the drain of a node does, and kills api pods. In the end the tables
are compared with the ledger, and a backup is made and proven. Run it where a Service's address can be reached, on a
node, or say with --url where the api is. What it made stays; `kubectl delete namespace taskapi` ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2

from tests.deploy.installation import EMAIL, MAIL, PASSWORD, ROOT
from tests.deploy.ledger import Load, settle, wrongs
from tests.load import Failure, Part

NAMESPACE = "taskapi"
COMPONENT = "app.kubernetes.io/component"
ROLLOUT_SECONDS = 400
CALM_SECONDS = 5.0
"""Load before and after each event."""
STEADY_SECONDS = 60.0
STATISTICS_SECONDS = 15.0
"""Until the kubelets' figures are those of the load."""
LOST = ("RemoteProtocolError", "ReadError", "WriteError")
"""How a client tells that its connection is gone."""


class Wrong(Exception):
    """What did not hold; the message is for whoever runs this."""


class Cluster:
    """The installation in its namespace, through kubectl."""

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        done = self.try_kubectl(*arguments, stdin=stdin)
        if done.returncode:
            raise Wrong(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def try_kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "-n", NAMESPACE, *arguments]
        return subprocess.run(command, input=stdin or "", capture_output=True, text=True, check=False)

    def found(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-l", selector, "-o", "json"))["items"]
        return items

    def pods(self, selector: str) -> list[str]:
        """The names of those that are not on their way out."""
        found = self.found("pods", selector)
        return [pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def install(self, image: str) -> None:
        """Applies the overlay with secrets of its own, and waits until everything runs."""
        if self.found("pods"):
            raise Wrong(f"there are pods in {NAMESPACE} already: delete the namespace and its volumes")
        name, _, tag = image.rpartition(":")
        with tempfile.TemporaryDirectory() as directory:
            shutil.copytree(ROOT / "deploy" / "k8s", directory, dirs_exist_ok=True)
            overlay = Path(directory) / "overlays" / "trial"
            named = ("DATABASE_PASSWORD", "REDIS_PASSWORD", "SECRET_KEY", "SCRAPE_TOKEN")
            (overlay / "secrets.env").write_text("".join(f"{one}={secrets.token_hex(32)}\n" for one in named))
            with (overlay / "config.env").open("a") as config:
                # One sign-in is to last, and one machine sends everything.
                config.write("ACCESS_TOKEN_SECONDS=3600\nRATE_LIMIT_SCALE=100000\n")
            with (overlay / "kustomization.yaml").open("a") as kustomization:
                kustomization.write(f"images: [{{name: taskapi, newName: {name}, newTag: {tag}}}]\n")
                kustomization.write("secretGenerator: [{name: taskapi, behavior: merge, envs: [secrets.env]}]\n")
            self.kubectl("apply", "-k", str(overlay))
        self.kubectl("wait", "--for=condition=complete", "job/migrate", f"--timeout={ROLLOUT_SECONDS}s")
        self.rolled_out()
        command = ["taskapi", "users", "create", "--superuser", "--email", EMAIL, "--password-stdin"]
        self.kubectl("exec", "-i", "deployment/api", "--", *command, stdin=PASSWORD + "\n")

    def back_up(self) -> str:
        """Runs the nightly job now; what its proof said."""
        self.kubectl("create", "job", "backup-now", "--from=cronjob/backup")
        self.kubectl("wait", "--for=condition=complete", "job/backup-now", f"--timeout={ROLLOUT_SECONDS}s")
        return self.kubectl("logs", "job/backup-now", "-c", "verify", "--tail=1").strip()

    def rolled_out(self) -> None:
        for one in self.found("deployments"):
            self.kubectl("rollout", "status", f"deployment/{one['metadata']['name']}", f"--timeout={ROLLOUT_SECONDS}s")

    def address(self) -> str:
        return f"http://{json.loads(self.kubectl('get', 'service', 'api', '-o', 'json'))['spec']['clusterIP']}"

    def rows(self, sql: str) -> list[dict[str, Any]]:
        command = ["psql", "-U", "taskapi", "-At", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        query = f"SELECT row_to_json(found) FROM ({sql}) AS found"
        said = self.kubectl("exec", "-i", "db-0", "-c", "postgres", "--", *command, stdin=query)
        return [json.loads(line) for line in said.splitlines()]

    def letters(self) -> int:
        return int(self.kubectl("exec", "deployment/worker-mail", "--", "sh", "-c", f"ls {MAIL} | wc -l"))

    def usage(self) -> dict[str, tuple[float, float]]:
        """By component: seconds of CPU of all its pods, MiB of its largest one. As the kubelets tell, some seconds old."""
        component = {
            pod["metadata"]["name"]: pod["metadata"]["labels"].get(
                "taskapi/queues", pod["metadata"]["labels"][COMPONENT]
            )
            for pod in self.found("pods", f"{COMPONENT},{COMPONENT}!=migrate")
        }
        used: dict[str, tuple[float, float]] = {}
        for node in self.found("nodes"):
            summary = self.kubectl("get", "--raw", f"/api/v1/nodes/{node['metadata']['name']}/proxy/stats/summary")
            for pod in json.loads(summary)["pods"]:
                name = component.get(pod["podRef"]["name"])
                if name and pod["podRef"]["namespace"] == NAMESPACE:
                    cpu, memory = used.get(name, (0.0, 0.0))
                    cpu += pod["cpu"]["usageCoreNanoSeconds"] / 1e9
                    used[name] = cpu, max(memory, pod["memory"]["workingSetBytes"] / (1 << 20))
        return used


async def steady(cluster: Cluster) -> str:
    """Nothing happens: what share of a core each component takes under the load, and its memory."""
    await asyncio.sleep(STATISTICS_SECONDS)
    before = await asyncio.to_thread(cluster.usage)
    await asyncio.sleep(STEADY_SECONDS)
    after = await asyncio.to_thread(cluster.usage)
    return ", ".join(
        f"{name} {(cpu - before[name][0]) / STEADY_SECONDS:.3f} cores {memory:.0f} MiB"
        for name, (cpu, memory) in sorted(after.items())
    )


async def rolling_update(cluster: Cluster) -> str:
    """Everything at once: api, workers and beats."""
    await asyncio.to_thread(cluster.kubectl, "rollout", "restart", "deployment")
    await asyncio.to_thread(cluster.rolled_out)
    return ""


async def drain(cluster: Cluster) -> str:
    """Each pod of ours evicted as `kubectl drain` does it: where a budget says no, asked again until it says yes.

    Nodes are not cordoned, so that one node is enough: what is evicted may come back on it.
    """
    refused = 0
    for pod in await asyncio.to_thread(cluster.pods, f"{COMPONENT} in (api, worker, beat)"):
        while not await asyncio.to_thread(_evicted, cluster, pod):
            refused += 1
            await asyncio.sleep(1)
    await asyncio.to_thread(cluster.rolled_out)
    return f"budgets said no {refused} times"


def _evicted(cluster: Cluster, pod: str) -> bool:
    """Raises Wrong where the answer is neither yes nor `429`, which is a budget's no."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NAMESPACE}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
    done = cluster.try_kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    if done.returncode and "disruption budget" not in done.stderr:
        raise Wrong(f"evicting {pod}: {done.stderr.strip()}")
    return not done.returncode


async def kill(cluster: Cluster) -> str:
    """An api pod is gone from one moment to the next, with what was open on it."""
    pod, *_ = await asyncio.to_thread(cluster.pods, f"{COMPONENT}=api")
    await asyncio.to_thread(cluster.kubectl, "delete", "pod", pod, "--grace-period=0", "--force")
    await asyncio.to_thread(cluster.rolled_out)
    return ""


EVENTS: dict[str, Callable[[Cluster], Awaitable[str]]] = {
    "steady": steady,
    "rolling update": rolling_update,
    "node drain": drain,
    "pod kill": kill,
}


async def _happens(cluster: Cluster, part: Part, name: str) -> list[Failure]:
    """Says what one event did to the requests sent meanwhile; returns what must not be."""
    before = part.mark()
    await asyncio.sleep(CALM_SECONDS)
    result = await EVENTS[name](cluster)
    await asyncio.sleep(CALM_SECONDS)
    meanwhile = part.since(before)
    say(f"{name}: {meanwhile}; {result}")
    return [one for one in meanwhile.failures if name != "pod kill" or not any(lost in one.what for lost in LOST)]


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


async def _healthy(client: httpx2.AsyncClient) -> None:
    """Returns when worker and beat have proven that they work, besides."""
    until = time.monotonic() + ROLLOUT_SECONDS
    while set((checks := (await client.get("/health/ready")).json()["checks"]).values()) != {"healthy"}:
        if time.monotonic() > until:
            raise Wrong(f"not everything is healthy: {checks}")
        await asyncio.sleep(1)


async def main() -> int:
    asked = _arguments()
    cluster, found = Cluster(), list[str]()
    began = time.monotonic()
    cluster.install(asked.image)
    # Connections are kept, but none that has been idle for long is used again: the other side may be closing it.
    limits = httpx2.Limits(max_connections=90, max_keepalive_connections=40, keepalive_expiry=5)
    async with httpx2.AsyncClient(
        base_url=asked.url or cluster.address(),
        headers={"Host": "api.taskapi"},
        timeout=30,
        limits=limits,
        trust_env=False,
    ) as client:
        answer = await client.post("/auth/login", data={"username": EMAIL, "password": PASSWORD})
        client.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"
        await _healthy(client)
        say(f"works after {time.monotonic() - began:.0f} s")
        load = Load([client], asked.rate)
        async with load.running() as part:
            for _ in range(asked.rounds):
                for name in asked.events:
                    found += map(str, await _happens(cluster, part, name))
        await load.repeat()
    found += await settle(cluster)
    found += wrongs(cluster, load)
    say(f"backup: {cluster.back_up()}")
    say(f"{part}; {load.created} tasks and {len(load.mailings)} jobs acknowledged; {len(found)} findings")
    for one in found[:20]:
        say(one)
    return 1 if found else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.kubernetes", description=__doc__)
    parser.add_argument("image", help="as the nodes know it")
    parser.add_argument("--url", help="where the api is reached; else at the address of its Service")
    parser.add_argument("--rate", type=float, default=20, help="requests a second (%(default)g)")
    parser.add_argument("--rounds", type=int, default=1, help="of all events (%(default)d)")
    parser.add_argument("--events", nargs="*", choices=EVENTS, default=list(EVENTS), help="which of them")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except Wrong as wrong:
        say(f"FAILED: {wrong}")
        sys.exit(1)
