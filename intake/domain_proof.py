"""Whose a domain is: only who controls its DNS can put our token there."""

import secrets
from collections.abc import Sequence
from typing import Protocol

import dns.exception
import dns.resolver
import idna

PREFIX = "_genius."
"""The record stands beside the domain, so that an alias (CNAME) of the domain itself is no hindrance."""
PATIENCE_S = 3.0
LONGEST_DOMAIN = 253
FEWEST_LABELS = 2


class TextRecords(Protocol):
    """Reads the TXT records of a name."""

    def texts(self, name: str) -> frozenset[str]:
        """Return them; none where the name has none.

        Raises:
            DnsAwayError: Nobody could tell.
        """


class DnsAwayError(Exception):
    """No answer in time."""


class Dns:
    """Asks DNS servers, the system's unless others are named as ``address:port``."""

    def __init__(self, servers: Sequence[str] = ()) -> None:
        self._resolver = dns.resolver.Resolver(configure=not servers)
        self._resolver.lifetime = PATIENCE_S
        if servers:
            self._resolver.nameservers = [
                dns.nameserver.Do53Nameserver(*_place(server)) for server in servers
            ]

    def texts(self, name: str) -> frozenset[str]:
        """Return the TXT records of *name*."""
        try:
            answer = self._resolver.resolve(name, "TXT", search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return frozenset()
        except dns.exception.DNSException as error:
            raise DnsAwayError(type(error).__name__) from error
        return frozenset(b"".join(record.strings).decode("ascii", "replace") for record in answer)


def _place(server: str) -> tuple[str, int]:
    address, _, port = server.rpartition(":")
    return address, int(port)


def new_token() -> str:
    """Return what a TXT record must say; made by us, so that nobody can prove by what stands there anyway."""
    return f"genius-verification={secrets.token_urlsafe(24)}"


def record_name(domain: str) -> str:
    """Return the name whose TXT record is looked at."""
    return PREFIX + domain


def is_proved(domain: str, token: str, records: TextRecords) -> bool:
    """Tell whether DNS shows the token.

    Raises:
        DnsAwayError: Nobody could tell.
    """
    return token in records.texts(record_name(domain))


def normal_domain(text: str) -> str:
    """Return a domain in lower case and as DNS spells it.

    Raises:
        ValueError: It is none.
    """
    try:
        domain = idna.encode(text.strip().rstrip("."), uts46=True).decode().lower()
    except (idna.IDNAError, UnicodeError):
        raise ValueError("must be a domain, as in news.example.com") from None
    labels = domain.split(".")
    if len(labels) < FEWEST_LABELS or labels[-1].isdigit() or len(PREFIX + domain) > LONGEST_DOMAIN:
        raise ValueError("must be a domain, as in news.example.com")
    return domain
