"""Private keys, made here and used here: what a source keeps to itself.  Hides `cryptography`."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

VALID = timedelta(days=365)


@dataclass(frozen=True)
class KeyPair:
    """A private key in PEM, and its public key in the bytes that providers hand out.

    Attributes:
        public: The 32 bytes of Ed25519; of P-256 the DER of its SubjectPublicKeyInfo.
    """

    private_pem: str
    public: bytes


def new_ed25519() -> KeyPair:
    """Return a new key pair of Ed25519."""
    key = Ed25519PrivateKey.generate()
    return KeyPair(_pem(key), key.public_key().public_bytes_raw())


def new_p256() -> KeyPair:
    """Return a new key pair of ECDSA on P-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    return KeyPair(_pem(key), key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def public_pem(private_pem: str) -> str:
    """Return the public half of a key in PEM."""
    public = load_pem_private_key(private_pem.encode(), None).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_jwk(private_pem: str, kid: str) -> dict[str, str]:
    """Return the public half of a P-256 key as the JSON Web Key *kid*."""
    key = load_pem_private_key(private_pem.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not a key of an elliptic curve")
    numbers = key.public_key().public_numbers()
    x, y = (base64.urlsafe_b64encode(it.to_bytes(32, "big")).rstrip(b"=").decode() for it in (numbers.x, numbers.y))
    return {"alg": "ES256", "crv": "P-256", "kid": kid, "kty": "EC", "use": "sig", "x": x, "y": y}


def new_certificate(common_name: str) -> tuple[str, str]:
    """Return a new RSA key and its certificate, in PEM; the certificate is its own issuer."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID)
        .not_valid_after(now + VALID)
        .sign(key, hashes.SHA256())
    )
    return _pem(key), certificate.public_bytes(Encoding.PEM).decode()


def sign(private_pem: str, message: bytes) -> bytes:
    """Return the signature of *message*: Ed25519's, or over SHA-256 that of ECDSA (DER) or RSA (PKCS #1 v1.5).

    Raises:
        ValueError: The PEM is none, or of another kind of key.
    """
    try:
        key = load_pem_private_key(private_pem.encode(), None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("no private key in PEM") from error
    match key:
        case Ed25519PrivateKey():
            return key.sign(message)
        case ec.EllipticCurvePrivateKey():
            return key.sign(message, ec.ECDSA(hashes.SHA256()))
        case rsa.RSAPrivateKey():
            return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    raise ValueError("a private key of another kind")


def _pem(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
