"""Key pairs and certificates of the cases: made up, the same on every run, and good for nothing else.

Runs in ``.venv-sdks``: the relay's own environment holds no ``cryptography``.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

_PRIMITIVES = "cryptography.hazmat.primitives"

RSA_PEM = """\
-----BEGIN PRIVATE KEY-----
MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDMMuWcUSRVbDhH
OvVW/GmM74Pxjb8f+KfgBDCSmtksjMFYTR3NsHDd5bAvJG7sew55BiJTJnvnvyLY
XlntJvJaQaFMZZHnGgCb0MYhpgw6WlM5s5okSh5o7STwZ+21cVWX/4cq0gNpOrvV
RAu+PdRcAhV0f9XuHSHY4dEcW3Cuh9zTc7lKofKHxo3QE7GYn1VFOzd3cjbD17DA
njVMW6J+/qswNY8Jwre/GG4uYPWQRKljoM6zGRoGDSsdogBK39FKv4cL2BdB6jsR
59bpY4C0U/avDS9bMYgfcG5wJ/W6cvsk2VLph5VxyN8gZHAFtoG/yilE/hpjLayU
lOMUqcjvAgMBAAECggEABF369l62jWHOvMNAbP6Max985qGPfj7UNhJ0bCY+38qm
Ls/FLpJdSHmdIisx6o/TZnf9K9Rp7WrXAXBmP9cdAXG1GwUA26dgp58b0FYUnaVQ
HD0WCQNt5ruTMrlB2GAPvxFlA7UmrhSC4OIJ8uwFQ5nRXRgWJSJ7lnF2W7S7YJgl
x5nCry3MTQzaY0YKhbyeMZbQgOhpFABS8eXFxcwqY3nxPr0F0y/+oHLYC3aQE1bR
dTGNrPm1Zw8UQZfsEgxqRlL9U+U0f3NXb0NN3pPnKJQiAz7wuUx6fzqoX/UqR85U
/iGOt2NSJNyS8S+3c1lwerbE0ZiJneP2lETunRfLdQKBgQD4S6VX+esi0jvtHdJm
LHS7mCngROr521YjN3FvXS2q60ipSznIFpF3z2UBEmwsNwBoSEQqjdFzr3s50DOa
7MyrfLBuQD8LRXSOBRMGpZVCkIOhxp0BbY7fpjUSy8+Q5cVmwQjkIyuJXPSzYE2J
owsGeh9dCJHYmy2eUgAbAkxj5QKBgQDSiPc7Gjeuv7Dc7SbBuhxYot5TGRMrGJH7
Cv9F7TO3iIeDhT904f7iHe0SpJOm4HR1oDmwLL0iY0Rz7z6Am4cpKRScAfCA5HNc
9e0nBgA8FVoNFC46pkuK2MnyF2+eGIqRiQEOCFv9mT+kzDd1BUlMq04zMURe4tB9
6pgR/QrUQwKBgAdR05IAYBoqsHGRC37PmLFfDvz5iyPKf4OSQtnRmWMMhJvZB98K
K0eo6YVaka3MAUsRtlC61Y3fgnZ12M+cY3w6tMjLRBCE/6agJ6tufjP0Jq1COaat
ICUftTjUoU3YODWLQ0PWdZYbE2umTyLbl5udRgdsFUCZcoLUUAR70NyxAoGBAJXg
mZhClsdZgZAVZ9TcKBfVgk5H+IRijnHYJ1hhf8K1eDth3YXY6PmR8lamQNK40U93
i/nmL5LOdknOVIF7tuHPc/OH0e4ANDxGetigBgS/8oaDClIIVpj2sfUdSAGVWPg4
Pz79JnfH5C3uj8BHziG9hgMdnJ2r/F7XZgDQUig/AoGBAJzgPCM8h+B5pvB5RZ1B
b0IZBXLSirZ6addcVNSNxhOBoOzXvK+vSR07qwBcSrMXeErEAuYnVSb/XOme627x
onoW/baTQWXbuGiTvFtt1q/0Zal/046nXgJRrQfvcC4R3NSmcy3frYj1V2xHhpZf
rnNYdGr4Jrx3x7aMPkUoTAVh
-----END PRIVATE KEY-----
"""

OTHER_RSA_PEM = """\
-----BEGIN PRIVATE KEY-----
MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQDJ55+cLlVUZvfp
D0cujtWHbj6V6GUFKRJ9BbT3PczRkGssZq5ijydwfLrLKLwKMJlNLGaVih5PAkNo
dLj5db3PsWAttjr1fbChUuQD+9LQyLKINTiiw1cKgjQoZhlO4HEHu2ol16ZV3sY+
b1WTPUXUBJ2ggHhNZ01rccysjR9lLwtMcQrw+2r+OmcCR56uMexpdv3Xt0OrQWiy
ewx3xdGiYONuurnaiq0xLvcdVR+aGfl6PLXCPA02NBqe3FL4p0fgy/4j0ch+1u+2
f+aBWWkoSJiiotjyoR4NWzxxSaR63MSZgcV5EW1+Oq4UxvEULz5EAbOCJgDXrFt3
VN0BI+5BAgMBAAECggEAGx5Xs1AL2P7NjImnS2sW5g5aLKNesi8+kvlJwa2UzY8C
vh96i7VjnDm8kx4BB7NYW+O7UZmQEZehuy12TNdSK8vMuccQqzl7GGf8RUa1HaLf
S+kuFrp6/efYHpb8DjqaI+o5yyRobH80DF3C1jh0IRKPo2euAON/pA9QaNq5nUrT
fD0jSfpL9aiXYKXu5a4M4eJLBOQ4aSeg42PQsrVVbUtKIwpkMiVGkxrdQgDAuWCd
H6BOaOiwSvPPki5BpPcP/pNS/EC0tnAd+gTsNBIJdT03vPSZVs3k0wXliIWIYGtT
6tMiqnLqPtvSpqi5cbaOkS79W4yT1NLR/zPBOl0JEwKBgQD46gxIIFFOTzG4aKXK
l02dnLef77oHQU5ajw/cVLikjIC6YroZuQctddLhOKJgnHlmxDHqDXDPx5TisLcQ
NBGODon4QAJX5PA8ZYGKXdADQ18aEhhFbnl8WCJ/LoIuzY+cGRBXY3ULu/MOO7qb
q35XcNkj5ND2YfMX3JM0+DZN4wKBgQDPpv74jnSSnXsmeMnun8GcQ2oG0BdBlGT4
gBWq/vHGvWoZ8YHgX5dmTXVKJOmTJRUi5Vjd9sAf4Uq0IMEeq368ub8bD0/4u5zn
3WDirOMWjHd2RWHHfV8tAGxFqS1eRE6d+gWE5bWa/E/tXkAVTE5rb0l3gQHwz9T0
u1Jb78sMiwKBgC6oyOaYUEVqqPpVe4aPeDgsUWuEp42Gm2Z0XNfDdd06jULjENmT
ipnl9ULMt/t+OW+fJXAnVtdMJUedMqOx7vx/EzPa49WQD8xyhqbmUQDbly8u5yfU
vqclakoG8NZPKDVtqVeISD+L2tL3NVLLAeLoP3vv/4+/6q61ZU7PnHZbAoGANYmn
2WvZMGf79WpVHfoAkAptjr4eEOFyuwNDEuhSa9wwO+ohgzkCLvUvlWM4+aAo9+tL
40aYOF/8w75iLEcpEP2PASoMg2PTy5AvR6ItloW20z6GPEndvRuLztYUhWZ1IpPw
0lfrX79H2DphqVwYJ+j0dyRC3NSo4kRdsqh7oIsCgYBjHB5ZqxjbzK0x837PVYeB
TkJQ9GWdFv3qTF5OAzYWUG2b1j2kN4z55ihfE/cuXXtbi/bhEGpEJxRYzRMzj3pM
A+hImXdt0nre1YEzt+yxKL8sd+rbLtihmI8qVrbRL53q1eNVpaXGtER5dzH8zapr
I525D6993jL/Cu3TtSV87A==
-----END PRIVATE KEY-----
"""


def _hash(name: str) -> Any:
    return getattr(import_module(f"{_PRIMITIVES}.hashes"), name)()


def ed25519(seed: str) -> Any:
    """Return the Ed25519 private key that *seed* stands for."""
    module = import_module(f"{_PRIMITIVES}.asymmetric.ed25519")
    return module.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())


def ed25519_public(seed: str) -> bytes:
    """Return the 32 bytes of the public key of *seed*."""
    return bytes(ed25519(seed).public_key().public_bytes_raw())


def p256(seed: str) -> Any:
    """Return the P-256 private key that *seed* stands for."""
    ec = import_module(f"{_PRIMITIVES}.asymmetric.ec")
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(seed.encode()).digest()), ec.SECP256R1())


def p256_sign(seed: str, data: bytes, digest: str = "SHA256") -> bytes:
    """Return the DER of the ECDSA signature of *data*, without randomness (RFC 6979)."""
    ec = import_module(f"{_PRIMITIVES}.asymmetric.ec")
    return bytes(p256(seed).sign(data, ec.ECDSA(_hash(digest), deterministic_signing=True)))


def p256_sign_raw(seed: str, data: bytes) -> bytes:
    """Return r and s of the same signature, 32 bytes each, as JSON Web Tokens carry it."""
    utils = import_module(f"{_PRIMITIVES}.asymmetric.utils")
    r, s = utils.decode_dss_signature(p256_sign(seed, data))
    return int(r).to_bytes(32) + int(s).to_bytes(32)


def p256_public(seed: str) -> str:
    """Return the public key of *seed* as base64 of its SubjectPublicKeyInfo."""
    serialization = import_module(f"{_PRIMITIVES}.serialization")
    public = p256(seed).public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def p256_jwk(seed: str, kid: str) -> dict[str, Any]:
    """Return the public key of *seed* as Plaid's endpoint would."""
    numbers = p256(seed).public_key().public_numbers()
    x, y = (
        base64.urlsafe_b64encode(int(number).to_bytes(32)).decode().rstrip("=") for number in (numbers.x, numbers.y)
    )
    jwk = {"alg": "ES256", "crv": "P-256", "kid": kid, "kty": "EC", "use": "sig", "x": x, "y": y}
    return {**jwk, "created_at": 1795000000, "expired_at": None}


def rsa_sign(pem: str, data: bytes, digest: str) -> str:
    """Return base64 of the PKCS #1 v1.5 signature of *data*; *digest* is ``SHA1`` or ``SHA256``."""
    padding = import_module(f"{_PRIMITIVES}.asymmetric.padding")
    signature = _rsa(pem).sign(data, padding.PKCS1v15(), _hash(digest))
    return base64.b64encode(signature).decode()


def _rsa(pem: str) -> Any:
    return import_module(f"{_PRIMITIVES}.serialization").load_pem_private_key(pem.encode(), None)


def certificate(pem: str, common_name: str, *, first_year: int = 2026, last_year: int = 2035) -> str:
    """Return the PEM of a self-signed certificate of *pem*'s key."""
    x509 = import_module("cryptography.x509")
    serialization = import_module(f"{_PRIMITIVES}.serialization")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    key = _rsa(pem)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(first_year, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(last_year, 12, 31, tzinfo=UTC))
        .sign(key, _hash("SHA256"))
    )
    return str(built.public_bytes(serialization.Encoding.PEM).decode())
