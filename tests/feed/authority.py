"""Certificates for tests: an authority of our own and server contexts signed by it."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest

cryptography = pytest.importorskip("cryptography")

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.x509.oid import NameOID  # noqa: E402

Key = ec.EllipticCurvePrivateKey
_NOW = datetime.datetime.now(datetime.UTC)
_DAY = datetime.timedelta(days=1)
_MAY_SIGN = x509.KeyUsage(
    digital_signature=False, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
    encipher_only=False, decipher_only=False,
)  # fmt: skip


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Authority:
    """Signs for any host name; `ca_file` is what a client trusts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key: Key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name("test authority")
        certificate = self._sign(self.name, self.key, None, _NOW + 10 * _DAY)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server_context(self, host: str = "localhost", *, expired: bool = False) -> ssl.SSLContext:
        """Return a server's TLS context with a certificate for `host`."""
        key = ec.generate_private_key(ec.SECP256R1())
        end = _NOW - _DAY if expired else _NOW + _DAY
        certificate = self._sign(_name(host), key, host, end)
        file = self.folder / f"{host}-{expired}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def self_signed(self) -> tuple[Path, Path]:
        """Return a certificate for localhost that vouches for itself, and its key, as files."""
        certificate = self._sign(
            _name("localhost"), self.key, "localhost", _NOW + _DAY, by_itself=True
        )
        file = self.folder / "localhost.pem"
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return file, _write_key(self.folder / "localhost-key.pem", self.key)

    def foreign_key(self, passphrase: bytes = b"") -> Path:
        """Return a key that belongs to no certificate, as a file."""
        key = ec.generate_private_key(ec.SECP256R1())
        return _write_key(self.folder / f"foreign{len(passphrase)}.pem", key, passphrase)

    def _sign(
        self, subject: x509.Name, key: Key, host: str | None, end: datetime.datetime, *,
        by_itself: bool = False,
    ) -> x509.Certificate:  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if by_itself else self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_NOW - 5 * _DAY)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        )
        # Python 3.13 and later demand what RFC 5280 demands of every certificate.
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(own, critical=False).add_extension(issuer, critical=False)
        if host is None:
            builder = builder.add_extension(_MAY_SIGN, critical=True)
        else:
            names = x509.SubjectAlternativeName([x509.DNSName(host)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256())


def _write_key(file: Path, key: Key, passphrase: bytes = b"") -> Path:
    locked = serialization.BestAvailableEncryption(passphrase) if passphrase else None
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            locked or serialization.NoEncryption(),
        )
    )
    return file
