"""Makes a self-signed certificate where there is none, and makes it anew before it ends: `make_certificate.py DIRECTORY HOST...`.

It runs in the application's image, which has what it takes. A certificate of your own in that directory is left alone; that it
is about to end is said.
"""

import datetime
import ipaddress
import os
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAYS = 397
"""The longest life that browsers accept."""
DAYS_BEFORE = 30
ORGANIZATION = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Task Management API, self-signed")
"""By which our own are known again."""


def name_of(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def will_do(chain: Path, key_file: Path) -> bool:
    """Whether what is there is to be used; a file without the other is somebody's mistake, and not to be written over."""
    there = [file.name for file in (chain, key_file) if file.exists()]
    if len(there) == 1:
        sys.exit(f"{there[0]} is there without its companion: both, fullchain.pem and privkey.pem, or none")
    if not there:
        return False
    certificate = x509.load_pem_x509_certificate(chain.read_bytes())
    end = certificate.not_valid_after_utc
    if end - datetime.datetime.now(datetime.UTC) > datetime.timedelta(days=DAYS_BEFORE):
        return True
    if certificate.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[:1] == [ORGANIZATION]:
        return False
    sys.stdout.write(f"the certificate ends on {end:%Y-%m-%d}: renew it\n")
    return True


def main(directory: Path, hosts: list[str]) -> None:
    chain, key_file = directory / "fullchain.pem", directory / "privkey.pem"
    if will_do(chain, key_file):
        return
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([ORGANIZATION, x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([name_of(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # Under another name first: half of one must not be taken for one. Only its group reads the key: nginx runs as another user of it.
    written = directory / "new.pem"
    for file, content in ((key_file, pem), (chain, certificate.public_bytes(serialization.Encoding.PEM))):
        with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "wb") as opened:
            opened.write(content)
        written.replace(file)
    sys.stdout.write(f"made a self-signed certificate for {', '.join(hosts)}: clients will not trust it\n")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), [host for argument in sys.argv[2:] for host in argument.split(",") if host != "*"])
    except ValueError as error:
        sys.exit(f"fullchain.pem: {error}")
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror} (user {os.getuid()})")
