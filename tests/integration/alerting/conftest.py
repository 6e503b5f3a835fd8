"""A tenant whose deliveries are recorded, and receivers that are real."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from models.organization import Tenant
from models.session import Database
from tasks.alerting import webhook
from tasks.vault import get_vault
from tests.integration.alerting.desk import Desk
from tests.integration.alerting.receiver import Certificate, Receiver, certify, receiving


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return certify(tmp_path)


@pytest.fixture
def environment(environment: dict[str, str], certificate: Certificate) -> dict[str, str]:
    return environment | {
        "GENIUS_WEBHOOKS_TO_PRIVATE_ADDRESSES": "true",
        "SSL_CERT_FILE": str(certificate.file),
    }


@pytest.fixture(autouse=True)
def caches(settings: Settings) -> Iterator[None]:
    for cached in (webhook._tls, get_vault):  # noqa: SLF001 - each test trusts its own authority
        cached.cache_clear()
    yield
    for cached in (webhook._tls, get_vault):  # noqa: SLF001 - see above
        cached.cache_clear()


@pytest.fixture
def receiver(certificate: Certificate) -> Iterator[Receiver]:
    with receiving(certificate) as receiver:
        yield receiver


@pytest.fixture
def desk(database: Database, organization: Callable[..., Tenant]) -> Desk:
    return Desk(database, organization())
