"""The Kubernetes manifests agree with the settings, with the application and with each other."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from app.cli import examinations, main
from app.core.app_factory import create_app
from app.infra.settings import QUEUES, Settings
from app.worker.memory import of_pool_process
from tools import prometheus_rules
from tools.reference import ROOT

K8S = ROOT / "deploy" / "k8s"
OVERLAYS = ("small", "large", "trial")
SERVERS = {"db", "redis"}
"""What the trial brings along: pods that are not the product's."""
PRE_STOP = 5
DEFAULTS = Settings.model_fields
AWS = re.compile(r"AWS_[A-Z_]+")
"""The bucket's own variables, which the settings name as such."""

Manifest = dict[str, Any]


def env_file(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if line and not line.startswith("#"))


def documents(path: Path) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


CONFIG = env_file(K8S / "base" / "config.env")
POD = documents(K8S / "base" / "pod.yaml")[0]["spec"]["template"]["spec"]
API = documents(K8S / "base" / "api.yaml")[0]["spec"]


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[Manifest]]:
    """Each overlay as `kubectl apply -k` would send it."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not here: the overlays are not rendered")
    out = {}
    for name in OVERLAYS:
        done = subprocess.run(
            ["kubectl", "kustomize", K8S / "overlays" / name], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        out[name] = list(yaml.safe_load_all(done.stdout))
    return out


def pod_of(manifest: Manifest) -> Manifest | None:
    """The pod that a workload makes: metadata and spec."""
    spec: Manifest = manifest.get("spec") or {}
    if manifest["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec.get("template") if manifest["kind"] in {"Deployment", "StatefulSet", "Job", "CronJob"} else None


def workloads(manifests: list[Manifest]) -> dict[str, Manifest]:
    return {one["metadata"]["name"]: one for one in manifests if pod_of(one) is not None}


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    return {name: pod for name, one in workloads(manifests).items() if (pod := pod_of(one)) is not None}


def ours(manifests: list[Manifest]) -> dict[str, Manifest]:
    return {name: pod for name, pod in pods(manifests).items() if name not in SERVERS}


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def environment(pod: Manifest) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for container in containers(pod) for one in container.get("env", [])}


def fits(selector: Manifest, labels: Manifest) -> bool:
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    rules = selector.get("matchExpressions", [])
    return wanted and all(labels.get(rule["key"]) in rule["values"] for rule in rules)


def test_a_pod_is_given_more_time_than_its_stop_may_take() -> None:
    named = ("DRAIN_SECONDS", "GRACEFUL_SECONDS", "TEARDOWN_SECONDS")
    stop = sum(float(CONFIG[name]) for name in named)
    assert stop <= float(CONFIG["SHUTDOWN_TIMEOUT"])
    assert API["template"]["spec"]["containers"][0]["lifecycle"]["preStop"] == {"sleep": {"seconds": PRE_STOP}}
    assert PRE_STOP + float(CONFIG["SHUTDOWN_TIMEOUT"]) < POD["terminationGracePeriodSeconds"]


def test_the_probes_ask_three_different_questions() -> None:
    container = API["template"]["spec"]["containers"][0]
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/health/startup", "liveness": "/health/live", "readiness": "/health/ready"}
    assert set(paths.values()) <= set(create_app(Settings(_env_file=None)).openapi()["paths"])


@pytest.mark.parametrize("path", ["api.yaml", "beat.yaml", "workers/worker/worker.yaml"])
def test_a_start_is_awaited_for_longer_than_the_process_itself_waits(path: str) -> None:
    startup = documents(K8S / "base" / path)[0]["spec"]["template"]["spec"]["containers"][0]["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > float(CONFIG["STARTUP_TIMEOUT"])


@pytest.mark.parametrize("path", ["beat.yaml", "workers/worker/worker.yaml"])
def test_a_worker_and_a_beat_are_asked_by_the_product_s_own_check(path: str) -> None:
    container = documents(K8S / "base" / path)[0]["spec"]["template"]["spec"]["containers"][0]
    asked = CliRunner().invoke(main, ["healthcheck", "--help"])
    assert asked.exit_code == 0
    assert "PROCESS_ROLE" in asked.output
    assert container["env"][0] == {"name": "PROCESS_ROLE", "value": container["args"][0]}
    assert container["livenessProbe"]["exec"]["command"] == ["taskapi", "healthcheck"]
    assert container["startupProbe"]["httpGet"] == {"path": "/metrics", "port": "metrics"}


def test_what_is_configured_is_a_setting() -> None:
    for path in K8S.rglob("*.env*"):
        unknown = {name for name in env_file(path) if name.lower() not in DEFAULTS and not AWS.fullmatch(name)}
        assert not unknown, path


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_a_pod_is_told_is_a_setting(overlay: str, rendered: dict[str, list[Manifest]]) -> None:
    for name, pod in ours(rendered[overlay]).items():
        assert {one.lower() for one in environment(pod)} - {"process_role"} <= set(DEFAULTS), name


def test_every_kustomization_names_files_that_are_there() -> None:
    for path in K8S.rglob("kustomization.yaml"):
        content = yaml.safe_load(path.read_text())
        named = [*content.get("resources", []), *content.get("components", []), *content.get("configurations", [])]
        named += [patch["path"] for patch in content.get("patches", []) if "path" in patch]
        missing = [name for name in named if not (path.parent / name).exists()]
        assert not missing, path


def test_no_secret_is_in_the_repository() -> None:
    tracked = subprocess.run(["git", "ls-files", K8S], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert not [name for name in tracked.splitlines() if name.endswith("secrets.env")]
    assert "\ndeploy/k8s/**/secrets.env\n" in (ROOT / ".gitignore").read_text()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_meets_the_restricted_level(overlay: str, rendered: dict[str, list[Manifest]]) -> None:
    namespace = next(one for one in rendered[overlay] if one["kind"] == "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, pod in pods(rendered[overlay]).items():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert "memory" in container["resources"]["limits"], name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_of_ours_is_of_one_image_with_one_configuration(
    overlay: str, rendered: dict[str, list[Manifest]]
) -> None:
    found = [(one["image"], one["envFrom"][:2]) for pod in ours(rendered[overlay]).values() for one in containers(pod)]
    assert all(one == found[0] for one in found)
    image = found[0][0]
    assert ":" in image.rpartition("/")[2]
    assert not image.endswith(":latest")
    made = {(one["kind"], one["metadata"]["name"]) for one in rendered[overlay]}
    for source in found[0][1]:
        kind, reference = next(iter(source.items()))
        assert ({"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind], reference["name"]) in made


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_selector_finds_what_it_is_meant_for(overlay: str, rendered: dict[str, list[Manifest]]) -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(rendered[overlay]).items()}
    for name, one in workloads(rendered[overlay]).items():
        if one["kind"] in {"Deployment", "StatefulSet"}:
            chosen = [other for other in labels if fits(one["spec"]["selector"], labels[other])]
            assert chosen == [name]
    for one in rendered[overlay]:
        match one["kind"]:
            case "Service":
                chosen = [name for name in labels if fits({"matchLabels": one["spec"]["selector"]}, labels[name])]
            case "PodDisruptionBudget":
                chosen = [name for name in labels if fits(one["spec"]["selector"], labels[name])]
            case _:
                continue
        assert chosen == [one["metadata"]["name"]]
    for name, pod in pods(rendered[overlay]).items():
        for spread in pod["spec"].get("topologySpreadConstraints", []):
            assert [other for other in labels if fits(spread["labelSelector"], labels[other])] == [name]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_budget_lets_a_node_be_drained(overlay: str, rendered: dict[str, list[Manifest]]) -> None:
    budgets = {one["metadata"]["name"] for one in rendered[overlay] if one["kind"] == "PodDisruptionBudget"}
    deployments = {name for name, one in workloads(rendered[overlay]).items() if one["kind"] == "Deployment"}
    assert budgets == deployments
    for one in rendered[overlay]:
        if one["kind"] == "PodDisruptionBudget":
            assert one["spec"]["maxUnavailable"] in {1, "25%"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_queue_has_exactly_one_class_of_workers(overlay: str, rendered: dict[str, list[Manifest]]) -> None:
    taken = [
        queue
        for name, pod in pods(rendered[overlay]).items()
        if name.startswith("worker-")
        for queue in environment(pod)["WORKER_QUEUES"].split(",")
    ]
    assert Counter(taken) == Counter(QUEUES)


@pytest.mark.parametrize("overlay", ["small", "trial"])
def test_what_the_pods_are_given_is_safe_enough_to_start(overlay: str) -> None:
    config = CONFIG | env_file(K8S / "overlays" / overlay / "config.env")
    secrets = dict.fromkeys(env_file(K8S / "base" / "secrets.env.example"), "a1b2c3d4" * 8)
    given = {name.lower(): value for name, value in (config | secrets | {"ENVIRONMENT": "production"}).items()}
    assert Settings(_env_file=None, **given).problems() == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_worker_has_the_memory_that_its_processes_may_take(overlay: str, rendered: dict[str, list[Manifest]]) -> None:
    for name, pod in pods(rendered[overlay]).items():
        if name.startswith("worker-"):
            limit = pod["spec"]["containers"][0]["resources"]["limits"]["memory"]
            given = {key.lower(): environment(pod)[key] for key in ("WORKER_QUEUES", "WORKER_CONCURRENCY")}
            bytes_of = int(limit[:-2]) << {"Mi": 20, "Gi": 30}[limit[-2:]]
            assert of_pool_process(Settings(_env_file=None, **given), bytes_of) >= 300 << 20


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_files_outlive_the_pods(overlay: str, rendered: dict[str, list[Manifest]]) -> None:
    maps = {one["metadata"]["name"]: one["data"] for one in rendered[overlay] if one["kind"] == "ConfigMap"}
    config = next(data for name, data in maps.items() if name.startswith("taskapi-"))
    for name, pod in ours(rendered[overlay]).items():
        if name == "api" or name.startswith("worker-"):
            mounts = [mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]]
            assert "STORAGE_URL" in config or "/var/lib/taskapi/files" in mounts, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_not_allowed_on_the_network_is_denied(overlay: str, rendered: dict[str, list[Manifest]]) -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in rendered[overlay] if one["kind"] == "NetworkPolicy"}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(rendered[overlay]).items()}
    ports = {name: {port["port"] for rule in [*one.get("egress", []), *one.get("ingress", [])] for port in rule["ports"]}
             for name, one in policies.items() if name != "default-deny"}  # fmt: skip
    assert {5432, 6379} <= ports["data"]
    assert {*DEFAULTS["outgoing_ports"].default, DEFAULTS["smtp_port"].default} <= ports["outgoing"]
    assert ports["edge"] == {"http"}
    reach = {
        name: [other for other in labels if fits(one["podSelector"], labels[other])] for name, one in policies.items()
    }
    assert set(reach["data"]) == set(ours(rendered[overlay]))
    assert reach["edge"] == ["api"]
    assert all(name.startswith("worker-") for name in reach["outgoing"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_named_ports_are_those_of_the_settings(overlay: str, rendered: dict[str, list[Manifest]]) -> None:
    for name, pod in ours(rendered[overlay]).items():
        ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0].get("ports", [])}
        if name == "api":
            assert ports == {"http": DEFAULTS["port"].default}
        elif name == "beat" or name.startswith("worker-"):
            assert ports == {"metrics": int(CONFIG["METRICS_PORT"])}


def highest(manifests: list[Manifest], name: str) -> int:
    """Pods of a Deployment at most, with those that a rolling update adds."""
    spec = workloads(manifests)[name]["spec"]
    scaled = [one for one in manifests if one["kind"] == "HorizontalPodAutoscaler" and one["metadata"]["name"] == name]
    replicas: int = scaled[0]["spec"]["maxReplicas"] if scaled else spec.get("replicas", 1)
    surge = spec["strategy"]["rollingUpdate"]["maxSurge"]
    return replicas + (surge if isinstance(surge, int) else -(-replicas * int(surge.removesuffix("%")) // 100))


def connections(manifests: list[Manifest]) -> int:
    """What the product opens to PostgreSQL at most, as `taskapi doctor` counts it."""
    api = DEFAULTS["database_pool_size"].default + DEFAULTS["database_session_pool_size"].default
    api += examinations._API_BESIDE_POOLS
    total = highest(manifests, "api") * api + highest(manifests, "beat")
    for name, pod in pods(manifests).items():
        if name.startswith("worker-"):
            processes = int(environment(pod)["WORKER_CONCURRENCY"])
            total += highest(manifests, name) * (examinations._WORKER_BESIDE + examinations._POOL_PROCESS * processes)
    return total + 2  # the migration, a backup


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_page_says_how_many_connections_the_database_must_have(
    overlay: str, rendered: dict[str, list[Manifest]]
) -> None:
    page = (ROOT / "docs" / "operations" / "kubernetes.md").read_text()
    row = re.search(rf"^\| `{overlay}` \| (\d+) \| (\d+) \|", page, re.MULTILINE)
    assert row is not None
    needed, limit = map(int, row.groups())
    assert needed == connections(rendered[overlay])
    assert needed + 10 <= limit


def test_every_pod_of_ours_may_send_traces_to_the_collector() -> None:
    policies = documents(K8S / "components" / "monitoring" / "network-policy.yaml")
    traces = next(policy["spec"] for policy in policies if policy["metadata"]["name"] == "traces")
    collector = yaml.safe_load((ROOT / "deploy" / "monitoring" / "otel" / "collector.yml").read_text())
    endpoint = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    assert [str(port["port"]) for rule in traces["egress"] for port in rule["ports"]] == [endpoint.split(":")[1]]
    assert traces["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "taskapi"}}


def test_an_autoscaler_knows_every_queue() -> None:
    scaled = [
        metric["external"]["metric"]["selector"]["matchLabels"]["queue"]
        for one in documents(K8S / "components" / "autoscaling" / "workers.yaml")
        for metric in one["spec"]["metrics"]
    ]
    assert Counter(scaled) == Counter(QUEUES)


def test_the_adapter_reads_a_figure_that_there_is() -> None:
    rules = yaml.safe_load((K8S / "components" / "autoscaling" / "prometheus-adapter-values.yaml").read_text())["rules"]
    served = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    (rule,) = rules["external"]
    assert f"`{rule['seriesQuery'].split('{')[0]}`" in served
    asked = {
        metric["external"]["metric"]["name"]
        for one in documents(K8S / "components" / "autoscaling" / "workers.yaml")
        for metric in one["spec"]["metrics"]
    }
    assert asked == {rule["name"]["as"]}


def test_the_pods_user_is_that_of_the_image() -> None:
    assert "USER 10001:10001" in (ROOT / "Dockerfile.prod").read_text()
    assert POD["securityContext"]["runAsUser"] == POD["securityContext"]["fsGroup"] == 10001


def test_the_cluster_alerts_by_the_rules_of_everywhere_else() -> None:
    written = prometheus_rules.MANIFEST.read_text()
    assert written == prometheus_rules.manifest(), "run ./run docs"
    groups = [group for path in sorted(prometheus_rules.RULES.glob("*.yml")) for group in documents(path)[0]["groups"]]
    assert yaml.safe_load(written)["spec"]["groups"] == groups
