"""The private key in a made-up secret: the provider's, which the relay never reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.local.sources.request import CannotSign

if TYPE_CHECKING:
    from relay.verification.secret import Secret

PRIVATE = "private_key"  # the part of the secret; no scheme that wants a public key has one of this name


def signed_privately(secret: Secret, message: bytes) -> bytes:
    from infra.local.sources import keys

    try:
        return keys.sign(private_key(secret), message)
    except ValueError as error:
        raise CannotSign(f"the signing secret's {PRIVATE} isn't a private key in PEM: set it again") from error


def private_key(secret: Secret) -> str:
    pem = secret.part(PRIVATE)
    if pem is None:
        raise CannotSign(
            "only the provider can sign that, whose private key nobody else has: have it send a test webhook, or try"
            " this in `relay dev`, which makes up a key pair"
        )
    return pem
