"""A real intake as in ``tests/integration/intake``, and one whose tokens come from an issuer of our own."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from config.settings import Settings
from models.organization import Tenant
from tests.integration.access.issuer import Issuer
from tests.integration.intake.conftest import (  # noqa: F401 - fixtures
    acme,
    as_acme,
    as_globex,
    client,
    database,
    database_urls,
    globex,
    serving,
    settings,
    sign,
)


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def strict_settings(settings: Settings, issuer: Issuer) -> Settings:  # noqa: F811 - pytest's way to name a fixture
    """Tokens of the issuer only."""
    return Settings.model_validate(
        settings.model_dump()
        | {
            "jwks_url": issuer.url,
            "jwt_issuer": issuer.name,
            "jwt_audience": issuer.audience,
            "jwks_retry": 1,
        }
    )


@pytest.fixture(scope="module")
def strict(strict_settings: Settings) -> Iterator[httpx.Client]:
    """An intake that takes tokens of the issuer only."""
    with serving(strict_settings) as url, httpx.Client(base_url=url, timeout=30) as client:  # noqa: F811 - as above
        yield client


@pytest.fixture
def tenant(organization: Callable[..., Tenant]) -> Tenant:
    return organization(plan="professional")
