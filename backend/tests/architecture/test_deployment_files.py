"""The deployment's files agree with the settings and with each other."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from app.infra.settings import Settings
from app.worker.memory import of_pool_process
from tests.deploy.__main__ import BREAKAGES
from tools.reference import ENV_EXAMPLE, ROOT
from tools.sbom import LOCK, components

PRODUCTION = yaml.safe_load((ROOT / "docker-compose.prod.yml").read_text())
SERVICES = PRODUCTION["services"]
SCRIPT = "".join(file.read_text() for file in (ROOT / "scripts" / "lib").iterdir())
NGINX = (ROOT / "nginx" / "nginx.conf").read_text()
DEFAULTS = Settings.model_fields


def directive(name: str) -> str:
    found = re.search(rf"^\s*{name} ([^;]+);", NGINX, re.MULTILINE)
    assert found is not None, name
    return found[1]


def memory(name: str) -> int:
    text = SERVICES[name]["mem_limit"]
    return int(text[:-1]) << {"m": 20, "g": 30}[text[-1]]


def replicas(name: str) -> int:
    return SERVICES[name].get("deploy", {}).get("replicas", 1)


def environment(name: str) -> dict[str, object]:
    return SERVICES[name].get("environment", {})


WORKERS = [name for name in SERVICES if name.startswith("celery_worker")]
ALWAYS = [name for name, service in SERVICES.items() if "profiles" not in service]


def test_operators_find_the_services_they_know() -> None:
    assert {"db", "redis", "migrate", "web", "celery_worker", "celery_beat", "nginx"} <= set(SERVICES)
    assert replicas("web") == replicas("celery_beat") == 2


def test_only_nginx_is_reached_from_other_hosts() -> None:
    assert [name for name in ALWAYS if "ports" in SERVICES[name]] == ["nginx"]
    for name in set(SERVICES) - set(ALWAYS):
        assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", [])), name


def test_the_database_is_not_on_the_network_of_the_edge() -> None:
    assert PRODUCTION["networks"]["data"]["internal"] is True
    assert SERVICES["db"]["networks"] == SERVICES["redis"]["networks"] == ["data"]
    assert SERVICES["nginx"]["networks"] == ["edge"]


@pytest.mark.parametrize("name", ["web", "celery_beat", *WORKERS])
def test_a_process_is_given_the_time_that_its_stop_may_take(name: str) -> None:
    seconds = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert seconds > DEFAULTS["shutdown_timeout"].default


@pytest.mark.parametrize(
    ("name", "role"), [("web", "api"), ("celery_beat", "beat"), *((one, "worker") for one in WORKERS)]
)
def test_a_container_is_asked_as_what_it_is(name: str, role: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"] == ["CMD", "taskapi", "healthcheck"]
    assert environment(name)["PROCESS_ROLE"] == role


def test_each_queue_has_one_worker() -> None:
    queues = [queue for name in WORKERS for queue in str(environment(name)["WORKER_QUEUES"]).split(",")]
    assert sorted(queues) == sorted(DEFAULTS["worker_queues"].default)


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_has_the_memory_that_its_processes_may_take(name: str) -> None:
    queues = environment(name)["WORKER_QUEUES"]
    assert of_pool_process(Settings(_env_file=None, worker_queues=queues), memory(name)) >= 300 << 20


@pytest.mark.parametrize("name", ["web", "nginx", *WORKERS])
def test_uploads_and_archives_are_put_together_on_the_disk(name: str) -> None:
    assert "/tmp" in SERVICES[name]["volumes"]  # noqa: S108  its own
    assert "tmpfs" not in SERVICES[name], "it would count as memory"


def test_the_database_takes_every_connection_that_a_deployment_may_open() -> None:
    own = 4  # of the machinery of one process, beside its pools
    api = DEFAULTS["database_pool_size"].default + DEFAULTS["database_session_pool_size"].default + own
    child = 2 + 2 + 2  # its pools are of fixed size (`worker/child.py`)
    worker = DEFAULTS["worker_concurrency"].default * child + 1
    doubled = 2 * replicas("web") * api + (len(WORKERS) + 1) * worker + 2 * replicas("celery_beat")
    allowed = int(SERVICES["db"]["command"][-1].removeprefix("max_connections="))
    assert doubled + 10 <= allowed, "with some for operators, probes and backups"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_as_little_as_possible(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"]
    assert "mem_limit" in service
    assert service["logging"]["options"]["max-size"]
    assert name in {"db", "grafana"} or service["read_only"] is True


def test_secrets_come_from_files_and_have_no_defaults() -> None:
    names = {"db_password", "redis_password", "secret_key"}
    assert names <= set(PRODUCTION["secrets"])
    assert all(
        secret == {"file": f"${{SECRETS_DIR:-./.secrets}}/{name}"} for name, secret in PRODUCTION["secrets"].items()
    )
    for name in names:
        assert re.search(rf"^{name.upper()}=$", ENV_EXAMPLE.read_text(), re.MULTILINE), (
            "it is asked for, without a value"
        )
    written = re.search(r'^SECRETS="\$NEEDED_SECRETS (.*)"$', SCRIPT, re.MULTILINE)
    assert written is not None
    in_files = {*names, *written[1].lower().split()}
    assert in_files == set(PRODUCTION["secrets"])
    for name in ("web", "celery_beat", *WORKERS, "migrate"):
        # .env is handed on whole; what stands in files is not.
        assert all(environment(name).get(secret.upper()) == "" for secret in in_files), name


def test_every_secret_setting_is_handed_over_as_a_file() -> None:
    secret = {name for name, field in DEFAULTS.items() if "SecretStr" in str(field.annotation)}
    for name in ("web", "celery_beat", *WORKERS, "migrate"):
        given = {one if isinstance(one, str) else one["target"] for one in SERVICES[name]["secrets"]}
        assert given == secret, name


def test_what_an_operator_may_set_is_in_the_example() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.prod.yml").read_text()))
    used |= set(re.findall(r"(?:value_of|secret) \"?([A-Z_]+)", SCRIPT))
    of_the_build = {"BUILD_COMMIT", "BUILD_VERSION", "SOURCE_DATE_EPOCH"}
    listed = set(re.findall(r"^#?([A-Z_]+)=", ENV_EXAMPLE.read_text(), re.MULTILINE))
    assert used - of_the_build <= listed


def test_a_deployment_replaces_every_process_of_the_application() -> None:
    rolled = re.search(r'^ROLLED="(.*)"$', SCRIPT, re.MULTILINE)
    assert rolled is not None
    assert sorted(rolled[1].split()) == sorted(["web", "celery_beat", *WORKERS])


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.sh")), ids=lambda script: script.name)
def test_a_script_says_what_it_does(script: Path) -> None:
    said = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith(f"usage: scripts/{script.name}")


def test_development_runs_what_production_runs() -> None:
    development = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert set(development) == {"db", "redis", "migrate", "web", "celery_worker", "celery_beat"}
    assert all(development[name]["image"] == SERVICES[name]["image"] for name in ("db", "redis"))


def test_the_parts_list_names_what_the_lock_pins() -> None:
    text = LOCK.read_text()
    listed = {(one.name, one.version) for one in components(text)}
    assert listed == set(re.findall(r"^([a-z0-9][^\s=;]*)==([^\s;\\]+)", text, re.MULTILINE))
    assert all(one.hashes for one in components(text))


def test_redis_never_evicts() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--maxmemory-policy noeviction" in command
    assert "--appendonly yes" in command


def test_nginx_closes_an_idle_upstream_connection_before_the_api_does() -> None:
    upstream = re.search(r"upstream api \{(.*?)\}", NGINX, re.DOTALL)
    assert upstream is not None
    seconds = re.search(r"keepalive_timeout (\d+);", upstream[1])
    assert seconds is not None
    assert int(seconds[1]) < DEFAULTS["keepalive_timeout"].default


def test_nginx_takes_every_body_that_the_api_takes() -> None:
    mebibyte = 1 << 20
    assert int(directive("client_max_body_size").removesuffix("m")) * mebibyte >= DEFAULTS["max_body_bytes"].default
    for path, setting in (("import/?$", "import_max_bytes"), ("[^/]+/attachments(/|$)", "attachment_max_bytes")):
        upload = re.search(rf"location ~ {re.escape('^/tasks/' + path)} \{{\s*client_max_body_size (\d+)m;", NGINX)
        assert upload is not None
        # The file, and the rest of the form around it.
        assert int(upload[1]) * mebibyte > DEFAULTS[setting].default + 64_000


def test_nginx_leaves_etags_strong() -> None:
    assert directive("gzip") == "off"


def test_nginx_never_sends_a_post_twice() -> None:
    assert directive("proxy_next_upstream") == "error timeout"


def test_nginx_waits_longer_than_the_api_does_for_the_database() -> None:
    assert int(directive("proxy_read_timeout")) > DEFAULTS["database_deadline"].default


def test_nginx_answers_with_the_codes_of_the_api() -> None:
    from tools.reference import all_errors

    of_the_edge = {"tls_required"}
    block = re.search(r"map \$status \$problem_code \{(.*?)\}", NGINX, re.DOTALL)
    assert block is not None
    codes = set(re.findall(r"\w+ (\w+);", block[1]))
    assert codes - of_the_edge <= {error.code for error in all_errors()}


@pytest.mark.parametrize("name", BREAKAGES)
def test_the_proof_of_deployments_finds_what_it_breaks(name: str) -> None:
    broken = BREAKAGES[name]
    assert (ROOT / "backend" / broken.path).read_text().count(broken.old) == 1
