"""Timestamp identifiers of the AT Protocol: sortable record keys. Source: atproto.com/specs/tid."""

import secrets
from datetime import datetime

ALPHABET = "234567abcdefghijklmnopqrstuvwxyz"
LENGTH = 13
CLOCK_BITS = 10


def new_tid(at: datetime) -> str:
    """Return a TID of the moment, with random clock bits so that two of one microsecond differ."""
    value = int(at.timestamp() * 1_000_000) << CLOCK_BITS | secrets.randbits(CLOCK_BITS)
    return "".join(ALPHABET[value >> 5 * place & 31] for place in reversed(range(LENGTH)))
