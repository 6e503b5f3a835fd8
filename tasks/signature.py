"""Signatures of webhooks.

Source: Standard Webhooks 1.0.0, "Signature scheme" and "Webhook headers".
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """Return a fresh signing secret as it is shown to its owner."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed_headers(
    delivery_id: UUID, at: datetime, body: bytes, signing_secrets: Sequence[str]
) -> dict[str, str]:
    """Return the headers of one attempt. The id is the same in every attempt, the moment is the attempt's.

    Args:
        delivery_id: Names the message; a receiver that remembers it does nothing twice.
        at: When this attempt is made; a receiver refuses what is too old.
        body: Exactly what is sent.
        signing_secrets: The current one first; a former one signs too while it is changed over.
    """
    message_id, timestamp = f"msg_{delivery_id.hex}", str(int(at.timestamp()))
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{_sign(content, secret)}" for secret in signing_secrets),
    }


def _sign(content: bytes, secret: str) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
