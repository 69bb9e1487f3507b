"""Makes a self-signed certificate for a first start, where there is none: `make_certificate.py DIRECTORY HOST...`.

It runs in the application's image, which has what it takes. A certificate of your own in that directory is left alone.
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


def name_of(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def main(directory: Path, hosts: list[str]) -> None:
    chain, key_file = directory / "fullchain.pem", directory / "privkey.pem"
    if chain.exists() and key_file.exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
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
    # Only its group reads the key: nginx runs as another user of the same group.
    with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "wb") as file:
        file.write(pem)
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    sys.stdout.write(f"made a self-signed certificate for {', '.join(hosts)}: clients will not trust it\n")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), [host for argument in sys.argv[2:] for host in argument.split(",") if host != "*"])
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror} (user {os.getuid()})")
