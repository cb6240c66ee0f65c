"""Keys, certificate requests and certificates of clients, as they make them, and as an attacker would."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "payments")])


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def csr(key: Any, *, extensions: tuple[tuple[Any, bool], ...] = (), name: x509.Name = NAME) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signed = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def private_pem(key: Any) -> bytes:
    made: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made


def der(pem: str) -> bytes:
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)


def authority(name: str = "Counterseal client authority") -> tuple[Any, x509.Certificate]:
    """A certificate authority of somebody else's, which calls itself what it likes."""
    key, subject = new_key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = _certificate(subject, subject, key.public_key(), timedelta(0), [
        (x509.BasicConstraints(True, 0), True), (x509.KeyUsage(*(False,) * 5, True, True, False, False), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ])
    return key, made.sign(key, hashes.SHA256())


def issue(
    ca: tuple[Any, x509.Certificate], key: Any, uri: str, *, age: timedelta = timedelta(0), uses: tuple[Any, ...] = (),
) -> x509.Certificate:
    """A client certificate of that authority, `age` old and good for a day."""
    authority_key, above = ca
    builder = _certificate(above.subject, NAME, key.public_key(), age, [
        (x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), False),
        (x509.ExtendedKeyUsage(uses or (ExtendedKeyUsageOID.CLIENT_AUTH,)), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), False),
    ])
    return builder.sign(authority_key, hashes.SHA256())


def _certificate(issuer: x509.Name, subject: x509.Name, key: Any, age: timedelta, extensions: Any) -> x509.CertificateBuilder:
    start = datetime.now(UTC) - age - timedelta(minutes=1)
    builder = (
        x509.CertificateBuilder().issuer_name(issuer).subject_name(subject).public_key(key)
        .serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(start + timedelta(days=1))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder


def write_pair(folder: Path, name: str, key: Any, *certificates: str) -> tuple[Path, Path]:
    """Certificate and key as files, for `ssl`."""
    chain, private = folder / f"{name}.pem", folder / f"{name}.key"
    chain.write_text("".join(certificates))
    private.write_bytes(private_pem(key))
    return chain, private
