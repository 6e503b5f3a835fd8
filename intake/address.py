"""From where a caller without a token calls."""

from ipaddress import IPv6Address, IPv6Network, ip_address

from fastapi import Request

NETWORK_BITS = 64
"""Of an IPv6 address: whoever has one has all of its network."""


async def admit_address(request: Request) -> None:
    """Refuse an address that calls too often what needs no token."""
    host = "" if request.client is None else request.client.host
    calls: int = request.app.state.settings.public_calls_hour
    await request.app.state.rate_limit.admit_address(network_of(host), calls)


def network_of(host: str) -> str:
    """Return what stands for one caller: an IPv4 address, or the network of an IPv6 one."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address.packed, NETWORK_BITS), strict=False))
    return str(address)
