"""Calls of the relay itself: whatever a name resolves to, only public addresses are connected to, as that name."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from relay.errors import GitHubError, UpstreamError
from relay.internet.fetcher import Fetcher
from relay.internet.public_transport import ADDRESSES_MAX, NotPublic, PublicTransport
from relay.reconciliation.github import DEFAULT_URL, GitHub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

URL = "https://sns.eu-central-1.amazonaws.com/cert.pem"
NAME = "sns.eu-central-1.amazonaws.com"
PUBLIC, OTHER = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"


class Internet:
    """A resolver, and what connects: keeps what each was asked.

    Attributes:
        unreachable: Addresses that take no connection.
    """

    def __init__(self, *addresses: str, allow_local: bool = False) -> None:
        self.addresses = list(addresses)
        self.resolved: list[tuple[str, int]] = []
        self.asked: list[httpx.Request] = []
        self.unreachable: set[str] = set()
        transport = PublicTransport(httpx.MockTransport(self._connect), resolve=self._resolve, allow_local=allow_local)
        self.http = httpx.Client(transport=transport)

    def _resolve(self, host: str, port: int) -> list[str]:
        self.resolved.append((host, port))
        return self.addresses

    def _connect(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.host in self.unreachable:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, content=request.read())


def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to() -> None:
    """As the name: its certificate, its Host header; and the name is resolved once, whatever it would say again."""
    internet = Internet(PUBLIC)

    answer = internet.http.post(f"{URL}?x=1", content=b"body")

    (asked,) = internet.asked
    assert internet.resolved == [(NAME, 443)]
    assert str(asked.url) == f"https://{PUBLIC}/cert.pem?x=1"
    assert (asked.headers["host"], asked.extensions["sni_hostname"]) == (NAME, NAME)
    assert (asked.method, answer.content) == ("POST", b"body")


@pytest.mark.parametrize(
    "addresses",
    [
        (),
        ("127.0.0.1",),
        ("10.0.0.1",),
        ("169.254.169.254",),
        ("192.168.1.1",),
        ("100.64.0.1",),
        ("0.0.0.0",),  # noqa: S104  # what somebody else may say
        ("224.0.0.1",),
        ("::1",),
        ("fd00::1",),
        ("fe80::1%eth0",),
        ("::ffff:10.0.0.1",),
        ("64:ff9b::a00:1",),
        ("2002:a00:1::",),
        ("nonsense",),
        (PUBLIC, "10.0.0.1"),
        (*[PUBLIC] * ADDRESSES_MAX, "10.0.0.1"),
    ],
)
def test_a_name_with_any_address_that_isnt_public_isnt_called(addresses: tuple[str, ...]) -> None:
    """One is enough: which would be taken, its owner could decide."""
    internet = Internet(*addresses)

    with pytest.raises(NotPublic):
        internet.http.get(URL)

    assert internet.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "0x7f.1", "2130706433", "10.1", "[::ffff:169.254.169.254]"])
def test_an_address_in_the_url_is_held_to_the_same(host: str) -> None:
    """In every form that a resolver takes."""
    internet = Internet(PUBLIC)

    with pytest.raises(NotPublic):
        internet.http.get(f"https://{host}/")

    assert internet.asked == []


def test_another_address_is_tried_where_one_takes_no_connection() -> None:
    """And no more than a few."""
    internet = Internet(OTHER, PUBLIC)
    internet.unreachable = {OTHER}

    assert internet.http.get(URL).status_code == 200
    assert [it.url.host for it in internet.asked] == [OTHER, PUBLIC]


def test_a_name_whose_addresses_all_take_no_connection_fails_as_one_address_does() -> None:
    internet = Internet(*[f"93.184.215.{n}" for n in range(9)])
    internet.unreachable = set(internet.addresses)

    with pytest.raises(httpx.ConnectError):
        internet.http.get(URL)

    assert len(internet.asked) == ADDRESSES_MAX


@pytest.mark.parametrize(("address", "taken"), [("127.0.0.1", True), ("::1", True), ("10.0.0.1", False)])
def test_this_machine_may_be_allowed_and_no_other_private_address(address: str, *, taken: bool) -> None:
    internet = Internet(address, allow_local=True)
    try:
        internet.http.get(URL)
    except NotPublic:
        assert not taken
    assert len(internet.asked) == taken


# -- over real sockets --------------------------------------------------------------------------------------------


@contextmanager
def served(context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[str]]]:
    """Serve on loopback, with TLS where there is a context; give the port, and the Host of each request."""
    hosts: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hosts.append(self.headers["host"])
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    class Server(HTTPServer):
        def handle_error(self, *_: object) -> None:
            """Stay silent: a client may go away within the handshake."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server.server_address[1], hosts
        server.shutdown()
        thread.join()


def certificate(name: str, folder: Path) -> tuple[Path, Path]:
    """Write a certificate for *name*, signed by itself, and its key; return both files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.parametrize(("name", "trusted"), [(NAME, True), ("other.amazonaws.com", False)])
def test_the_certificate_must_be_the_names_not_the_addresss(tmp_path: Path, name: str, *, trusted: bool) -> None:
    """Or who answers at the address could be anybody."""
    cert, key = certificate(NAME, tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    ours = ssl.create_default_context(cafile=str(cert))
    with served(context) as (port, hosts):
        transport = PublicTransport(
            httpx.HTTPTransport(verify=ours), resolve=lambda *_: ["127.0.0.1"], allow_local=True
        )
        with httpx.Client(transport=transport) as http:
            try:
                http.get(f"https://{name}:{port}/")
            except httpx.ConnectError:
                assert not trusted
    assert hosts == ([f"{NAME}:{port}"] if trusted else [])


@pytest.fixture
def rebound(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Have every name resolve to a server on this machine; give what that was asked."""
    with served() as (port, hosts):
        answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)
        yield hosts


@pytest.mark.parametrize(
    "call",
    [
        lambda: Fetcher()(URL),
        lambda: Fetcher().visit(URL),
        lambda: Fetcher()(URL, {"key_id": "1"}),
        lambda: GitHub("token", DEFAULT_URL).sendings("repos/o/r/hooks/1"),
    ],
    ids=["certificate", "confirmation", "key", "github"],
)
def test_nothing_of_the_relay_calls_a_name_that_leads_inside(rebound: list[str], call: Callable[[], Any]) -> None:
    """Certificates, keys and confirmations of providers, and GitHub's API."""
    with pytest.raises((UpstreamError, GitHubError), match=r"public|NotPublic"):
        call()

    assert rebound == []


def test_a_github_on_this_machine_may_be_given() -> None:
    with served() as (port, hosts):
        github = GitHub("token", f"http://127.0.0.1:{port}")

        assert github.sendings("repos/o/r/hooks/1") == ([], None)
    assert hosts == [f"127.0.0.1:{port}"]
