"""Timestamp identifiers of the AT Protocol: sortable record keys. Source: atproto.com/specs/tid."""

import secrets
from datetime import UTC, datetime, timedelta

ALPHABET = "234567abcdefghijklmnopqrstuvwxyz"
LENGTH = 13
CLOCK_BITS = 10
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_tid(at: datetime) -> str:
    """Return a TID of the moment, with random clock bits so that two of one microsecond differ."""
    value = (at - EPOCH) // timedelta(microseconds=1) << CLOCK_BITS | secrets.randbits(CLOCK_BITS)
    return "".join(ALPHABET[value >> 5 * place & 31] for place in reversed(range(LENGTH)))
