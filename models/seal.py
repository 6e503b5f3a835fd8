"""The seal that binds a database session to one organization, and that nobody else can forge."""

import hashlib
import hmac
import time
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

_BLOCK = 64  # bytes of a SHA-256 block, RFC 2104


@dataclass(frozen=True, slots=True)
class Sealer:
    """Mints seals; ``app.sealed_tenant()`` verifies them with the same secret."""

    secret: bytes = field(repr=False)

    def mint(self, organization_id: UUID, ttl: timedelta) -> str:
        """Return ``<organization>.<unix expiry>.<hmac>``, good for transactions begun within *ttl*."""
        body = f"{organization_id}.{_expiry(ttl)}"
        return f"{body}.{self._sign(body)}"

    def prove_domain(self, organization_id: UUID, domain: str, ttl: timedelta) -> tuple[str, int, str]:
        """Return what ``app.hold_domain`` takes: that DNS showed this organization's token just now."""
        expiry = _expiry(ttl)
        return domain, expiry, self._sign(f"domain {domain} {organization_id} {expiry}")

    def _sign(self, body: str) -> str:
        return hmac.digest(self.secret, body.encode(), hashlib.sha256).hex()


def _expiry(ttl: timedelta) -> int:
    return int(time.time() + ttl.total_seconds())


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """The secret as Postgres keeps it: it has SHA-256 but no HMAC, so it is given the two padded keys.

    Source: RFC 2104, section 2.
    """

    inner: bytes = field(repr=False)
    outer: bytes = field(repr=False)


def verification_key(secret: bytes) -> VerificationKey:
    """Return what ``app.install_seal_key`` stores."""
    key = hashlib.sha256(secret).digest() if len(secret) > _BLOCK else secret
    key = key.ljust(_BLOCK, b"\0")
    return VerificationKey(bytes(byte ^ 0x36 for byte in key), bytes(byte ^ 0x5C for byte in key))
