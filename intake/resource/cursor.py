"""Cursors of resource lists: a place in one tenant's list, signed together with what list it is."""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from pydantic import TypeAdapter, ValidationError

from config.settings import get_settings
from intake.problem import FieldError, InvalidRequestError

LONGEST_CURSOR = 2_048
"""Characters; a cursor holds the value that the list is sorted by."""
_SIGNATURE_BYTES = 16

Place = tuple[Any, UUID]
"""Sorted value and id of the last row shown."""


def write_cursor(place: Sequence[Any], listing: str) -> str:
    """Return the cursor of *place* in *listing*: tenant, resource, order and filters as one text."""
    content = orjson.dumps(place)
    return urlsafe_b64encode(_sign(content, listing) + content).rstrip(b"=").decode()


def read_cursor(cursor: str, listing: str, place: TypeAdapter[Place]) -> Place:
    """Return the place.

    Raises:
        InvalidRequestError: It is altered, another tenant's, or of a list with other filters or order.
    """
    try:
        raw = urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        signature, content = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if hmac.compare_digest(signature, _sign(content, listing)):
            return place.validate_json(content, strict=True)
    except (ValidationError, ValueError):
        pass  # refused below, like one that is not signed
    message = "is not of this list; keep filters and sort as they were, or leave it out to begin again"
    raise InvalidRequestError([FieldError(field="cursor", message=message)])


def _sign(content: bytes, listing: str) -> bytes:
    """Sign under a key made for nothing else."""
    master = get_settings().pointer_secret.get_secret_value().encode()
    key = hmac.digest(master, b"resource cursor", hashlib.sha256)
    return hmac.digest(key, listing.encode() + b"\x00" + content, hashlib.sha256)[:_SIGNATURE_BYTES]
