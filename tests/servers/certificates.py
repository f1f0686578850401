"""An authority that signs one certificate for servers and one for clients, all for this machine and a day."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and of its key."""

    certificate: Path
    key: Path


class Certificates:
    """Files in a folder: `authority`, `server` and `client`.

    Args:
        folder: Where the files are made.
    """

    def __init__(self, folder):
        folder.mkdir(parents=True)
        key = ec.generate_private_key(ec.SECP256R1())
        own = _unsigned("tests", key.public_key(), issuer="tests")
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        own = own.add_extension(_usage(signs_others=True), critical=True)
        self.authority = folder / "authority.pem"
        self.authority.write_bytes(own.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        self.server = _signed(folder, "server", key)
        self.client = _signed(folder, "client", key)


def _signed(folder, name, authority):
    key = ec.generate_private_key(ec.SECP256R1())
    made = _unsigned(name, key.public_key(), issuer="tests")
    here = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    made = made.add_extension(x509.SubjectAlternativeName(here), critical=False)
    made = made.add_extension(_usage(signs_others=False), critical=True)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    made = made.add_extension(issuer, critical=False)
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    pair.certificate.write_bytes(made.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    pair.key.touch(0o600)
    pair.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pair


def _unsigned(name, public_key, *, issuer):
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        # The clock of a server may be a little behind ours.
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs_others):
    return x509.KeyUsage(
        digital_signature=not signs_others,
        key_cert_sign=signs_others,
        crl_sign=signs_others,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
