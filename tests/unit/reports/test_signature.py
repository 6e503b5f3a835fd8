"""Signatures are those of Standard Webhooks: another implementation of it accepts and refuses them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tasks.signature import PREFIX, new_secret, signed_headers

DELIVERY = UUID("01a208df-2c8f-75ae-844c-fee90256ff14")
BODY = '{"type":"alert.raised","data":{"title":"Café 👩🏽‍🍳"}}'.encode()


def signed(secret: str, *, at: datetime | None = None, former: str | None = None) -> dict[str, str]:
    secrets = [secret] if former is None else [secret, former]
    return signed_headers(DELIVERY, at or datetime.now(UTC), BODY, secrets)


def test_another_implementation_accepts_it() -> None:
    secret = new_secret()
    assert Webhook(secret).verify(BODY, signed(secret))["type"] == "alert.raised"
    assert (
        Webhook(secret).sign(f"msg_{DELIVERY.hex}", datetime(2026, 1, 1, tzinfo=UTC), BODY.decode())
        == (signed(secret, at=datetime(2026, 1, 1, tzinfo=UTC))["webhook-signature"])
    )


def test_another_body_secret_id_or_an_old_moment_is_refused() -> None:
    secret = new_secret()
    headers = signed(secret)
    for receiver, body, sent in (
        (Webhook(new_secret()), BODY, headers),
        (Webhook(secret), BODY + b" ", headers),
        (Webhook(secret), BODY, headers | {"webhook-id": "msg_other"}),
        (Webhook(secret), BODY, headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}),
        (Webhook(secret), BODY, signed(secret, at=datetime.now(UTC) - timedelta(minutes=6))),
    ):
        with pytest.raises(WebhookVerificationError):
            receiver.verify(body, sent)


def test_while_a_secret_is_changed_both_are_accepted() -> None:
    fresh, former = new_secret(), new_secret()
    headers = signed(fresh, former=former)
    for secret in (fresh, former):
        assert Webhook(secret).verify(BODY, headers)


def test_each_attempt_has_the_same_id_and_its_own_moment() -> None:
    secret, now = new_secret(), datetime.now(UTC)
    first, second = signed(secret, at=now), signed(secret, at=now + timedelta(seconds=60))
    assert first["webhook-id"] == second["webhook-id"]
    assert first["webhook-signature"] != second["webhook-signature"]


def test_secrets_are_long_and_never_the_same() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(secret.startswith(PREFIX) and len(secret) >= 48 for secret in made)
