"""How the relay itself calls the internet: at public addresses alone, whatever a name resolves to.  Hides connecting.

It resolves a name once, checks every address, and connects to one of these: the owner of the name could answer
differently to a second look-up.  TLS and the Host header stay the name's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from relay.internet.addresses import address_of, is_public, resolved

if TYPE_CHECKING:
    from collections.abc import Callable

    Resolve = Callable[[str, int], list[str]]

ADDRESSES_MAX = 3  # of a name that are tried


class NotPublic(httpx.ConnectError):
    """The name resolves to an address that isn't one of the internet, or to none."""


class PublicTransport(httpx.BaseTransport):
    """A transport that connects to public addresses only.

    Args:
        transport: What connects to the address; by default the network, and no connection is kept: a later request may
            be for another name at the same address, whose certificate nobody has seen.
        resolve: Returns the addresses of a host and port.
        allow_local: Also connect to this machine, where its address is what the URL says, or what its name resolves to.

    Raises:
        NotPublic: From every request that it doesn't make.
    """

    def __init__(
        self,
        transport: httpx.BaseTransport | None = None,
        *,
        resolve: Resolve = resolved,
        allow_local: bool = False,
    ) -> None:
        self._transport = transport or httpx.HTTPTransport(
            trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
        self._resolve = resolve
        self._allow_local = allow_local

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Make *request*, at the first of its name's addresses that can be connected to."""
        host = request.url.raw_host.decode("ascii")
        addresses = self._addresses(host, request)
        for address in addresses[:-1]:
            try:
                return self._at(address, host, request)
            except httpx.ConnectError:
                continue
        return self._at(addresses[-1], host, request)

    def _addresses(self, host: str, request: httpx.Request) -> list[str]:
        """Return what *host* resolves to, once all of it may be called."""
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        found = [host] if address_of(host) is not None else self._resolve(host, port)
        if not found or not all(map(self._may_be_called, found)):
            raise NotPublic("its name doesn't resolve to public addresses", request=request)
        return found[:ADDRESSES_MAX]

    def _may_be_called(self, text: str) -> bool:
        address = address_of(text)
        return address is not None and (is_public(address) or (self._allow_local and address.is_loopback))

    def _at(self, address: str, host: str, request: httpx.Request) -> httpx.Response:
        """Make *request* at *address*, whose certificate must be that of *host*."""
        there = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        return self._transport.handle_request(there)

    def close(self) -> None:
        """Close what connects."""
        self._transport.close()
