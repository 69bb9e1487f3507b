"""`./run lint-deploy`: what deploys the product, looked at by the tools of each kind of file, where they are there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Check:
    """`command` gets the files that `patterns` find below the root; `needs` must end well for it to be run at all."""

    name: str
    needs: tuple[str, ...]
    patterns: tuple[str, ...]
    command: Callable[[list[str]], list[str]]

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(ROOT)) for pattern in self.patterns for path in ROOT.glob(pattern))


def _quiet(command: tuple[str, ...] | list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  ours


def _compose(files: list[str]) -> list[str]:
    return ["docker", "compose", "-f", files[0], "--profile", "*", "config", "--quiet"]


def _nginx(files: list[str]) -> list[str]:
    """In the image that runs it, with a certificate made for the moment."""
    tls = tempfile.mkdtemp(prefix="taskapi-tls-")
    _quiet([sys.executable, "nginx/make_certificate.py", tls, "localhost"])
    folder = (ROOT / files[0]).parent
    mounts = ["-v", f"{folder}:/etc/nginx/taskapi:ro", "-v", f"{tls}:/etc/nginx/tls:ro"]
    test = "cp /etc/nginx/taskapi/api.conf /tmp/api.conf && nginx -t -q -c /etc/nginx/taskapi/nginx.conf"
    return ["docker", "run", "--rm", *mounts, _NGINX, "sh", "-c", test]


def _rendered(command: str) -> Callable[[list[str]], list[str]]:
    """Each kustomization as it would be applied, on the standard input of a command."""
    each = f'manifests=$(kubectl kustomize "${{one%/*}}") && printf "%s\\n" "$manifests" | {command}'
    return lambda files: ["sh", "-c", f"for one; do {each} || exit 1; done", "sh", *files]


_NGINX = "nginx:1.30-alpine"
CHECKS = (
    Check("compose, production", ("docker", "compose", "version"), ("docker-compose.prod.yml",), _compose),
    Check("compose, development", ("docker", "compose", "version"), ("docker-compose.yml",), _compose),
    Check("nginx -t", ("docker", "image", "inspect", _NGINX), ("nginx/nginx.conf",), _nginx),
    Check("hadolint", ("hadolint", "--version"), ("Dockerfile.prod",), lambda files: ["hadolint", *files]),
    Check(
        "shellcheck", ("shellcheck", "--version"), ("scripts/**/*.sh", "run", ".ci/run"),
        lambda files: ["shellcheck", "--external-sources", *files],
    ),
    Check(
        "kubernetes-validate", ("sh", "-c", "kubernetes-validate --help && kubectl version --client"),
        ("deploy/k8s/overlays/*/kustomization.yaml",),
        _rendered("kubernetes-validate --strict --quiet --no-warn -k 1.36 /dev/stdin"),
    ),
    Check(
        "kubernetes, server dry run", ("kubectl", "get", "namespace", "taskapi"),
        ("deploy/k8s/overlays/small/kustomization.yaml",),
        # A Job that is there cannot be applied again.
        _rendered("kubectl apply --dry-run=server -l app.kubernetes.io/component!=migrate -f -"),
    ),
    Check(
        "promtool, rules", ("promtool", "--version"), ("deploy/monitoring/prometheus/rules/*.yml",),
        lambda files: ["promtool", "check", "rules", *files],
    ),
    Check(
        "promtool, tests of the rules", ("promtool", "--version"), ("deploy/monitoring/prometheus/tests/*.yml",),
        lambda files: ["promtool", "test", "rules", *files],
    ),
    Check(
        "promtool, configuration", ("promtool", "--version"), ("deploy/monitoring/prometheus/prometheus.yml",),
        lambda files: ["promtool", "check", "config", "--syntax-only", *files],
    ),
)  # fmt: skip


def main() -> int:
    """Runs every check that can be run; 1 when one of them has found something."""
    failed = 0
    for check in CHECKS:
        files = check.files()
        if not files:
            verdict = "skipped: no such files"
        elif shutil.which(check.needs[0]) is None or _quiet(check.needs).returncode:
            verdict = f"skipped: {' '.join(check.needs)} does not work here"
        else:
            done = _quiet(check.command(files))
            failed += done.returncode != 0
            verdict = f"FAILED\n{done.stdout}{done.stderr}" if done.returncode else "clean"
        sys.stdout.write(f"{check.name}: {verdict}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
