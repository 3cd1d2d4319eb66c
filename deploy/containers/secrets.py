"""Passwords, accounts and a first certificate for the compose file: `python -m deploy.containers.secrets .secrets`.

What is there already is kept. The folder is closed to all but its owner; the files in it are not, since each is mounted alone into the
container that needs it, whose user is another one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_urlsafe

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.accounts import Secrets, configuration
from deploy.embedded import ADMIN_ROLE
from deploy.topology import Topology

HOSTS = ("labo.localhost", "identite.labo.localhost", "courrier.labo.localhost", "grafana.labo.localhost")
VALID = timedelta(days=397)  # browsers refuse more


def make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    secrets = Secrets(folder)
    secrets.all_postgres()
    secrets.postgres(ADMIN_ROLE)
    secrets.oidc_client()
    secrets.links()
    secrets.certificates()
    accounts = folder / "accounts.conf"
    accounts.unlink(missing_ok=True)  # made anew: durables and their rights change with a release
    accounts.write_text(configuration(Topology.read(), secrets.all_nats()) + "\n")
    if not (folder / "edge" / "edge.key").exists():
        certificates(secrets.directory("edge"))
    if not (password := secrets.directory("grafana") / "admin_password").exists():
        password.write_text(token_urlsafe(24))
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o444)


def certificates(folder: Path) -> None:
    """A certificate for the names of the demonstration, and the authority to trust for it, whose own key nobody keeps."""
    authority, ours = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Lab-O, first look, {datetime.now(UTC):%Y-%m-%d}")])
    root = _certificate(issuer, issuer, authority, authority, [(x509.BasicConstraints(ca=True, path_length=0), True)])
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOSTS[0])])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    leaf = _certificate(subject, issuer, ours, authority, [(names, False), (usage, False)])
    key = ours.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "ca.crt").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    (folder / "edge.crt").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    (folder / "edge.key").write_bytes(key)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:  # fmt: skip
    now = datetime.now(UTC)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(identifier, critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="secrets", description="Passwords, accounts and a first certificate for the compose file")
    parser.add_argument("folder", type=Path)
    make(parser.parse_args(arguments).folder)


if __name__ == "__main__":
    main()
