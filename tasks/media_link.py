"""Addresses under which a platform may fetch one medium for a while, and nobody anything else."""

import hashlib
import hmac
import time
from datetime import timedelta
from uuid import UUID

from config.settings import get_settings

LIFETIME = timedelta(days=1)
PATH = "/media"


def public_link(organization_id: UUID, asset_id: UUID) -> str | None:
    """Return the medium's address, good for a day; None where the intake has no public address."""
    base = get_settings().public_url
    if base is None:
        return None
    expires_at = int(time.time() + LIFETIME.total_seconds())
    signature = sign(organization_id, asset_id, expires_at)
    return f"{str(base).rstrip('/')}{PATH}/{organization_id}/{asset_id}/{expires_at}/{signature}"


def is_good(organization_id: UUID, asset_id: UUID, expires_at: int, signature: str) -> bool:
    """Tell whether an address is ours and not too old."""
    expected = sign(organization_id, asset_id, expires_at)
    return hmac.compare_digest(expected.encode(), signature.encode()) and expires_at > time.time()


def sign(organization_id: UUID, asset_id: UUID, expires_at: int) -> str:
    """Return the signature of an address, under a key made for nothing else."""
    master = get_settings().pointer_secret.get_secret_value().encode()
    key = hmac.digest(master, b"media link", hashlib.sha256)
    return hmac.digest(key, f"{organization_id}/{asset_id}/{expires_at}".encode(), hashlib.sha256).hex()
