"""The deployment's files agree with the settings and with each other."""

from __future__ import annotations

import re

import pytest
import yaml

from app.infra.settings import Settings
from tools.reference import ENV_EXAMPLE, ROOT

PRODUCTION = yaml.safe_load((ROOT / "docker-compose.prod.yml").read_text())
SERVICES = PRODUCTION["services"]
NGINX = (ROOT / "nginx" / "nginx.conf").read_text()
DEFAULTS = Settings.model_fields


def directive(name: str) -> str:
    found = re.search(rf"^\s*{name} ([^;]+);", NGINX, re.MULTILINE)
    assert found is not None, name
    return found[1]


def test_operators_find_the_services_they_know() -> None:
    assert {"db", "redis", "migrate", "web", "celery_worker", "celery_beat", "nginx"} <= set(SERVICES)


def test_only_nginx_publishes_ports() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["nginx"]


def test_the_database_is_not_on_the_network_of_the_edge() -> None:
    assert PRODUCTION["networks"]["data"]["internal"] is True
    assert SERVICES["db"]["networks"] == SERVICES["redis"]["networks"] == ["data"]
    assert SERVICES["nginx"]["networks"] == ["edge"]


@pytest.mark.parametrize("name", ["web", "celery_worker", "celery_beat"])
def test_a_process_is_given_the_time_that_its_stop_may_take(name: str) -> None:
    seconds = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert seconds > DEFAULTS["shutdown_timeout"].default


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_as_little_as_possible(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "mem_limit" in service
    assert service["logging"]["options"]["max-size"]
    assert name == "db" or service["read_only"] is True


def test_a_secret_without_a_value_is_an_error_that_names_it() -> None:
    text = (ROOT / "docker-compose.prod.yml").read_text()
    for name in ("DB_PASSWORD", "REDIS_PASSWORD", "SECRET_KEY"):
        uses = re.findall(rf"\$\{{{name}[^}}]*\}}", text)
        assert uses
        assert all(use.startswith(f"${{{name}:?") for use in uses), uses


def test_each_variable_of_the_compose_file_is_in_the_example() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.prod.yml").read_text()))
    listed = set(re.findall(r"^#?([A-Z_]+)=", ENV_EXAMPLE.read_text(), re.MULTILINE))
    assert used <= listed


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

    of_the_edge = {"tls_required", "request_timeout"}
    block = re.search(r"map \$status \$problem_code \{(.*?)\}", NGINX, re.DOTALL)
    assert block is not None
    codes = set(re.findall(r"\w+ (\w+);", block[1]))
    assert codes - of_the_edge <= {error.code for error in all_errors()}
