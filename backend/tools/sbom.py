"""`./run sbom`: what the production image installs, as a CycloneDX 1.6 document on standard output, from the hashed lock alone."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from app import SERVICE_NAME, __version__

LOCK = Path(__file__).resolve().parents[1] / "requirements" / "prod.lock"
_PIN = re.compile(r"^(?P<name>[a-z0-9][^\s=;]*)==(?P<version>[^\s;\\]+)(?P<hashes>(?:.*\\\n)+.*)", re.MULTILINE)


def components(lock: str) -> Iterator[Component]:
    """Each pinned distribution with the hashes of the files that may be installed for it."""
    for pin in _PIN.finditer(lock):
        hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", pin["hashes"])
        purl = PackageURL("pypi", None, pin["name"], pin["version"])
        yield Component(
            name=pin["name"],
            version=pin["version"],
            purl=purl,
            bom_ref=purl.to_string(),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=one) for one in hashes],
        )


def bom() -> Bom:
    product = Component(name=SERVICE_NAME, version=__version__, type=ComponentType.APPLICATION, bom_ref=SERVICE_NAME)
    document = Bom(components=components(LOCK.read_text()))
    document.metadata.component = product
    document.register_dependency(product, document.components)
    return document


if __name__ == "__main__":
    sys.stdout.write(JsonV1Dot6(bom()).output_as_string(indent=1) + "\n")
