"""What the scripts of production refuse and keep, as far as no engine is needed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.infra.settings import Settings
from tools.reference import ROOT

GOOD = "a1b2c3d4" * 8


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The scripts and the example, and a `docker` that does nothing but fail."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copy(ROOT / ".env.example", tmp_path)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    return tmp_path


def start(tree: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{tree / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        [tree / "scripts" / "start_production.sh", *arguments],
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def shell(tree: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Runs it with the functions of `production.sh`."""
    return subprocess.run(
        ["sh", "-euc", f". scripts/lib/production.sh\n{script}"],
        env={"PATH": f"{tree / 'bin'}:{os.environ['PATH']}"},
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )


def set_secrets(tree: Path, *more: str, secret_key: str = GOOD) -> None:
    lines = [f"DB_PASSWORD={GOOD}", f"REDIS_PASSWORD={GOOD}", f"SECRET_KEY={secret_key}", *more]
    (tree / ".env").write_text("\n".join(lines) + "\n")


def held(tree: Path, name: str) -> str:
    return (tree / ".secrets" / name).read_text()


def test_each_missing_secret_is_named(tree: Path) -> None:
    done = start(tree, DB_PASSWORD=GOOD)
    assert done.returncode == 1
    assert re.findall(r"(\w+) is not set", done.stderr) == ["REDIS_PASSWORD", "SECRET_KEY"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("short", "is too short"),
        ("with a space " + GOOD, "may hold letters"),
        ("your-secret-key-change-in-production", "is an example's"),
        ("ab" * 20, "is too simple"),
    ],
)
def test_a_secret_that_will_not_do_is_refused_with_its_name(tree: Path, value: str, reason: str) -> None:
    done = start(tree, DB_PASSWORD=GOOD, REDIS_PASSWORD=GOOD, SECRET_KEY=value)
    assert done.returncode == 1
    assert f"SECRET_KEY {reason}" in done.stderr


def test_init_writes_random_secrets_once_and_closes_them_to_others(tree: Path) -> None:
    done = start(tree, "--init")
    assert done.returncode == 1
    assert "docker has no compose plugin" in done.stderr
    written = (tree / ".env").read_text()
    secrets = re.findall(r"^(?:DB_PASSWORD|REDIS_PASSWORD|SECRET_KEY)=([0-9a-f]{64})$", written, re.MULTILINE)
    assert len(set(secrets)) == 3
    assert (tree / ".env").stat().st_mode & 0o077 == 0
    assert not (tree / ".secrets").exists(), "a deployment writes it, after the checks"
    start(tree, "--init")
    assert (tree / ".env").read_text() == written


def test_what_init_has_written_is_safe_enough_to_start(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    start(tree, "--init")
    # What the compose file says itself.
    in_containers = {"environment": "production", "redis_url": "redis://redis:6379/0"}
    assert Settings(_env_file=tree / ".env", **in_containers).problems() == []


def test_a_secret_may_stand_in_its_file_alone(tree: Path) -> None:
    (tree / "kept").mkdir()
    for name in ("db_password", "redis_password", "secret_key"):
        (tree / "kept" / name).write_text(GOOD)
    done = start(tree, SECRETS_DIR=str(tree / "kept"))
    assert "docker has no compose plugin" in done.stderr


def test_the_files_of_secrets_are_closed_to_others_and_there_for_each(tree: Path) -> None:
    set_secrets(tree, "SMTP_PASSWORD='with a $ and a space'")
    assert shell(tree, "write_secrets").returncode == 0
    assert (tree / ".secrets").stat().st_mode & 0o077 == 0
    assert held(tree, "secret_key") == GOOD
    assert held(tree, "smtp_password") == "with a $ and a space"
    assert held(tree, "backup_key") == ""


def test_an_empty_line_takes_away_a_secret_that_may_be_missing(tree: Path) -> None:
    set_secrets(tree, "PREVIOUS_SECRET_KEYS=old", "BACKUP_KEY=kept")
    shell(tree, "write_secrets")
    set_secrets(tree, "PREVIOUS_SECRET_KEYS=")
    shell(tree, "write_secrets")
    assert held(tree, "previous_secret_keys") == ""
    assert held(tree, "backup_key") == "kept"


def test_a_changed_secret_is_a_changed_configuration_until_it_is_deployed(tree: Path) -> None:
    (tree / "bin" / "docker").write_text("#!/bin/sh\n")
    set_secrets(tree)
    before = shell(tree, "write_secrets; configuration").stdout
    set_secrets(tree, secret_key=GOOD[::-1])
    changed = shell(tree, "write_secrets; configuration").stdout
    assert changed != before
    assert shell(tree, "write_secrets; configuration").stdout == changed


def test_secrets_go_back_to_those_of_the_last_deployment_that_succeeded(tree: Path) -> None:
    set_secrets(tree)
    shell(tree, "write_secrets; keep_secrets")
    for attempt in ("1" * 32, "2" * 32):
        set_secrets(tree, secret_key=attempt)
        shell(tree, "write_secrets")
        assert held(tree, "secret_key") == attempt
    shell(tree, "restore_secrets")
    assert held(tree, "secret_key") == GOOD


@pytest.mark.parametrize(
    ("pid", "code"), [("", 1), (str(os.getpid()), 1), ("999999999", 0)], ids=["not written yet", "runs", "gone"]
)
def test_a_lock_counts_unless_its_process_is_gone(tree: Path, pid: str, code: int) -> None:
    (tree / ".deploying").mkdir()
    (tree / ".deploying" / "pid").write_text(pid)
    assert shell(tree, "lock").returncode == code
    assert (tree / ".deploying").exists() is bool(code)


def test_an_image_that_failed_the_checks_does_not_keep_the_name(tree: Path) -> None:
    set_secrets(tree)
    (tree / ".deployed").write_text("settings\nsha256:before\n")
    (tree / "bin" / "docker").write_text(
        """#!/bin/sh
        case $* in
            "image inspect"*) for id; do :; done; echo "$id" ;;
            *config*json) echo '  "name": "it",' ;;
            *" run "*) exit 1 ;;
            "tag "*) echo "$2 $3" >> tags ;;
        esac
        """
    )
    done = subprocess.run(
        [tree / "scripts" / "deploy.sh", "new:1"],
        env={"PATH": f"{tree / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "there is no certificate" in done.stderr
    name = "task-management-api:latest"
    assert (tree / "tags").read_text().splitlines() == [f"new:1 {name}", f"sha256:before {name}"]


@pytest.mark.parametrize(("published", "code"), [("443 80", 0), ("8443 80", 1)], ids=["by nginx", "by another"])
def test_a_port_is_tried_unless_nginx_has_it_already(tree: Path, published: str, code: int) -> None:
    lines = "".join(f"echo '1/tcp -> 0.0.0.0:{port}'; " for port in published.split())
    (tree / "bin" / "docker").write_text(
        f"""#!/bin/sh
        case $* in
            "ps "*) echo nginx ;;
            "port "*) {lines} ;;
            "run "*) echo "already in use" >&2; exit 1 ;;
        esac
        """
    )
    done = shell(tree, "PROJECT=it; check_ports")
    assert done.returncode == code
    assert ("set HTTPS_PORT" in done.stderr) is bool(code)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("8443 # behind the balancer", "8443"),
        ("'a # b'", "a # b"),
        ('"quoted" ', "quoted"),
        ("a#b", "a#b"),
        ("", "443"),
    ],
)
def test_a_line_of_the_env_file_means_what_it_means_to_compose(tree: Path, line: str, value: str) -> None:
    (tree / ".env").write_text(f"HTTPS_PORT={line}\n")
    assert shell(tree, "value_of HTTPS_PORT 443").stdout == value


def test_a_reader_that_has_gone_does_not_keep_a_deployment_from_going_back(tree: Path) -> None:
    script = ". scripts/lib/production.sh\ngo_back() { touch went-back; }\ntrap 'say interrupted; go_back; exit 130' TERM\nkill -TERM $$"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(["sh", "-euc", script], cwd=tree, stderr=writing, check=False)
    os.close(writing)
    assert done.returncode == 130
    assert (tree / "went-back").exists()


@pytest.mark.parametrize(("free", "code"), [(3_000_000, 0), (1_000_000, 1)], ids=["enough", "too little"])
def test_the_disk_of_the_engine_is_looked_at_too(tree: Path, free: int, code: int) -> None:
    (tree / "engine").mkdir()
    (tree / "bin" / "docker").write_text("#!/bin/sh\necho engine\n")
    (tree / "bin" / "df").write_text(
        f'#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\n[ "$1" = engine ] && free={free} || free=9000000\necho; echo "/dev/x 1 1 $free 1% /"\n'
    )
    (tree / "bin" / "df").chmod(0o755)
    done = shell(tree, "check_disk")
    assert done.returncode == code
    assert ("/engine, 2048 are needed (DISK_MIN_MB)" in done.stderr) is bool(code)


def test_an_unknown_option_is_refused(tree: Path) -> None:
    assert start(tree, "--force").returncode == 2
