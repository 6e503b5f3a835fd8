"""A seal says whom a session works for, in a form that Postgres can verify with SHA-256 alone."""

import hashlib
import hmac
from datetime import timedelta
from uuid import UUID

import pytest
from freezegun import freeze_time

from models.seal import Sealer, verification_key

ORGANIZATION = UUID("0193b1a0-0000-7000-8000-000000000001")
SECRETS = [b"s" * 32, b"s" * 64, b"s" * 65, b"\x00\xff" * 50]


@freeze_time("2026-01-01T00:00:00Z")
def test_a_seal_names_its_organization_its_expiry_and_their_hmac() -> None:
    body = f"{ORGANIZATION}.{1767225600 + 60}"
    signature = hmac.new(b"s" * 32, body.encode(), hashlib.sha256).hexdigest()

    assert Sealer(b"s" * 32).mint(ORGANIZATION, timedelta(minutes=1)) == f"{body}.{signature}"


@pytest.mark.parametrize("secret", SECRETS, ids=len)
def test_the_padded_keys_give_the_hmac_of_the_secret_whatever_its_length(secret: bytes) -> None:
    key = verification_key(secret)

    inner = hashlib.sha256(key.inner + b"message").digest()
    assert hashlib.sha256(key.outer + inner).digest() == hmac.digest(secret, b"message", "sha256")


def test_the_secret_shows_in_no_representation() -> None:
    assert "secret" not in repr(Sealer(b"secret" * 8))
    assert "secret" not in repr(verification_key(b"secret" * 8))
