"""nginx before the apis, as the product ships it: its own files, with the addresses of this machine written in."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx2

from devstack.process import Child
from devstack.state import free_port
from tests.faults.product import Api, Process
from tests.faults.trial import NotRunError
from tests.faults.world import BACKEND, World

SHIPPED = BACKEND.parent / "nginx"
CONNECTIONS = 90
"""Of one client: below what nginx takes from one address (`limit_conn`)."""


def program() -> str:
    """nginx on the PATH or where Debian has it; NotRunError where there is none."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise NotRunError("there is no nginx here")
    return found


def _configuration(directory: Path, apis: Sequence[Api], ports: dict[str, int]) -> Path:
    """A copy of the shipped folder. What differs: paths of a container, ports, and the instances by their addresses."""
    copy = directory / "nginx"
    shutil.copytree(SHIPPED, copy)
    instances = "\n".join(rf"server 127.0.0.1:{api.client.base_url.port}\1;" for api in apis)
    for file in copy.glob("*.conf"):
        text = re.sub(r"server web:8000 resolve([^;]*);", instances, file.read_text())
        text = re.sub(r"/etc/nginx/(taskapi/)?|/tmp/", f"{copy}/", text)
        for shipped, port in ports.items():
            text = text.replace(f"listen {shipped}", f"listen 127.0.0.1:{port}")
        file.write_text(text)
    maker = [sys.executable, str(copy / "make_certificate.py"), str(copy / "tls"), "localhost,127.0.0.1"]
    (copy / "tls").mkdir()
    subprocess.run(maker, check=True, capture_output=True)
    return copy / "nginx.conf"


@contextlib.asynccontextmanager
async def nginx(world: World, apis: Sequence[Api]) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that has signed in and reaches the apis over TLS through nginx."""
    ports = {"127.0.0.1:8081": free_port(), "8080": free_port(), "8443": free_port()}
    configuration = _configuration(world.directory, apis, ports)
    # As another user its workers could not read this folder.
    options = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    command = [program(), "-p", str(configuration.parent), "-c", str(configuration), "-g", options]
    child = Child("nginx", command, cwd=configuration.parent, env={"PATH": os.environ["PATH"]})
    child.log = world.directory / "nginx.log"
    process = Process(child)
    world.processes.append(process)
    async with httpx2.AsyncClient(
        base_url=f"https://127.0.0.1:{ports['8443']}",
        headers={"Authorization": apis[0].client.headers["Authorization"]},
        limits=httpx2.Limits(max_connections=CONNECTIONS),
        timeout=30,
        trust_env=False,
        verify=False,
    ) as client:
        await process.answers(client, "/health/ready")
        yield client
