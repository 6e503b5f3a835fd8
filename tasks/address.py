"""Which addresses a tenant may make us call: only those on the public internet.

A tenant could otherwise reach the operator's own network, or the cloud's metadata, through us.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

TRANSLATED = IPv6Network("64:ff9b::/96")
"""An IPv4 address as a network with IPv6 only writes it (RFC 6052)."""


class AddressRefusedError(Exception):
    """A name leads to an address that is not on the public internet."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} is not on the public internet")
        self.host = host


def is_public(text: str) -> bool:
    """Tell whether an address is on the public internet, also where one is wrapped in another."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = _inner(address)
        if inner is not None:
            return is_public(str(inner))
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast


def _inner(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address to which a packet for *address* may be passed on."""
    if address in TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


def addresses_of(host: str, port: int, *, private_too: bool = False) -> list[str]:
    """Return the addresses of *host*; connect to one of these and nowhere else: a name may change its mind.

    Raises:
        AddressRefusedError: One of them is not public.
        OSError: There is none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not private_too and not all(map(is_public, addresses)):
        raise AddressRefusedError(host)
    return addresses
