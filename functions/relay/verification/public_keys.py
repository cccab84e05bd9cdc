"""Signatures that only a private key can make.  Hides `cryptography`, which nothing else needs to load."""

from __future__ import annotations

import datetime as dt
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509.oid import NameOID


def signed(algorithm: str, key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether the owner of the public *key* signed *message*.

    Args:
        algorithm: `ed25519` (a key of 32 bytes) or `ecdsa-p256-sha256` (DER: SubjectPublicKeyInfo, signature).
    """
    try:
        if algorithm == "ed25519":
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
            return True
        public = load_der_public_key(key)
        if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
            return False
        public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


class Certificate:
    """An X.509 certificate.

    Raises:
        ValueError: The bytes are no PEM certificate.
    """

    def __init__(self, pem: bytes) -> None:
        self._certificate = x509.load_pem_x509_certificate(pem)

    @property
    def common_name(self) -> str:
        """The subject's common name; empty where there is none."""
        names = self._certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if names else ""

    def is_valid_at(self, at: float) -> bool:
        """Tell whether *at*, in epoch seconds, is within its time."""
        moment = dt.datetime.fromtimestamp(at, dt.UTC)
        return self._certificate.not_valid_before_utc <= moment <= self._certificate.not_valid_after_utc

    def signed(self, message: bytes, signature: bytes, *, digest: str) -> bool:
        """Tell whether its key signed *message*: RSA, PKCS #1 v1.5, over *digest* (`sha1` or `sha256`)."""
        key: Any = self._certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            return False
        hashed = hashes.SHA1() if digest == "sha1" else hashes.SHA256()  # noqa: S303  # SNS's SignatureVersion 1
        try:
            key.verify(signature, message, padding.PKCS1v15(), hashed)
        except (InvalidSignature, ValueError, UnsupportedAlgorithm):
            return False
        return True
