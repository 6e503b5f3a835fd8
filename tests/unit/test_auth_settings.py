"""What production refuses to start with, and what an issuer needs."""

import secrets
from typing import Any

import pytest
from pydantic import ValidationError

from config.settings import DEVELOPMENT_MARK, Settings

SECRETS = ("jwt_secret", "seal_secret", "pointer_secret", "credential_secret")
GOOD: dict[str, Any] = {
    "database_url": "postgresql://a@localhost/d",
    "redis_url": "redis://localhost/0",
    "environment": "production",
} | {name: secrets.token_hex(32) for name in SECRETS}
ISSUER = {"jwks_url": "https://login.example.org/jwks", "jwt_audience": "a", "jwt_issuer": "i"}


def settings(**changes: Any) -> Settings:
    return Settings(_env_file=None, **(GOOD | changes))


def test_production_starts_with_secrets_of_its_own() -> None:
    assert settings().has_issuer is False
    assert settings(**ISSUER).has_issuer is True
    assert settings(jwt_secret="0123456789abcdef" * 2)


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    "secret", [DEVELOPMENT_MARK + "0123456789abcdef" * 2, "change-me-" * 4, "x" * 64, "secret" * 8]
)
def test_production_refuses_a_secret_that_was_made_for_development_or_thought_up(
    name: str, secret: str
) -> None:
    with pytest.raises(ValidationError, match=f"GENIUS_{name.upper()}") as caught:
        settings(**{name: secret})
    assert secret not in str(caught.value)
    assert settings(**{name: secret}, environment="development")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (ISSUER | {"jwks_url": "http://login.example.org/jwks"}, "https"),
        (ISSUER | {"jwks_file": "/etc/jwks.json"}, "not both"),
        (ISSUER | {"jwt_audience": None}, "GENIUS_JWT_AUDIENCE"),
        (ISSUER | {"jwt_issuer": ""}, "GENIUS_JWT_ISSUER"),
        (ISSUER | {"jwt_algorithms": ["HS256"]}, "jwt_algorithms"),
        (ISSUER | {"jwt_algorithms": ["none"]}, "jwt_algorithms"),
        (ISSUER | {"jwt_algorithms": []}, "jwt_algorithms"),
        ({"jwt_leeway": 3_600}, "jwt_leeway"),
    ],
)
def test_an_issuer_whose_tokens_could_not_be_told_apart_is_refused(
    changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValidationError, match=named):
        settings(**changes)
