"""Tells which addresses are public, and resolves names.  Hides the many ways to write an address.

A configuration's URLs are checked when it is read, and the relay's own calls when the name is resolved.
"""

from __future__ import annotations

import ipaddress
import re
import socket

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")  # RFC 8215: a network's own


def address_of(host: str) -> Address | None:
    """Return the address that *host* is, also in the short, octal and hexadecimal forms that resolvers take."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    if ":" in host or not re.fullmatch(r"[0-9a-fx.]+", host, re.IGNORECASE) or not host[0].isdigit():
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def is_public(address: Address) -> bool:
    """Tell whether *address*, and each that it reaches by mapping, translation or a tunnel, is one of the internet."""
    if address in _LOCAL_NAT64:
        return False
    return all(each.is_global and not each.is_multicast for each in (address, *_embedded(address)))


def resolved(host: str, port: int) -> list[str]:
    """Return the addresses of *host*, as text, the best first; none where it has none.

    Those only that this machine has a way to: a Lambda may have none to IPv6.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(it[4][0]) for it in found))


def _embedded(address: Address) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address reaches by mapping, translation or a tunnel."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or int(address) >> 32 == 0:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in found if each is not None]
