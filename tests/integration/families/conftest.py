"""Run the bodies of jobs as a worker does, without a queue."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from config.settings import Settings, get_settings
from models.organization import Tenant
from models.session import Database, tenant_session
from models.transaction import tenant_transaction
from tasks.vault import get_vault
from tests.integration.families.stand_in import StandIn, run_stand_in
from worker.context import Claim, Completion, DatabaseJob, OutsideJob

Body = Callable[..., Completion]


def claim_of(tenant: Tenant, kind: str, *, job_id: UUID | None = None, attempt: int = 1) -> Claim:
    return Claim(
        organization_id=tenant.organization_id,
        job_id=job_id or uuid7(),
        kind=kind,
        attempt=attempt,
        max_attempts=8,
        payload={},
        created_at=datetime.now(UTC),
    )


@pytest.fixture
def run(database: Database) -> Callable[..., Completion]:
    """Run the body of a database kind in one transaction: ``run(tenant, body, payload)``."""

    def run_body(tenant: Tenant, body: Body, payload: object) -> Completion:
        with tenant_transaction(database, tenant.organization_id) as transaction:
            completion = body(DatabaseJob(claim_of(tenant, "test.kind"), transaction), payload)
            transaction.commit()
        return completion

    return run_body


def unchecked() -> None:
    """Stand for a lease that holds."""


@pytest.fixture
def run_outside(database: Database) -> Callable[..., Completion]:
    """Run the body of an outside kind: ``run_outside(tenant, body, payload, job_id=..., check=...)``."""

    def run_body(
        tenant: Tenant,
        body: Body,
        payload: object,
        *,
        job_id: UUID | None = None,
        check: Callable[[], None] = unchecked,
    ) -> Completion:
        transaction = partial(tenant_session, database, tenant.organization_id)
        return body(OutsideJob(claim_of(tenant, "test.kind", job_id=job_id), transaction, check), payload)

    return run_body


@pytest.fixture
def stand_in(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A stand-in server of this test's own, which every post goes to."""
    with run_stand_in() as server:
        monkeypatch.setenv("GENIUS_STAND_IN_URL", server.url)
        get_settings.cache_clear()
        get_vault.cache_clear()
        yield server
        get_settings.cache_clear()
        get_vault.cache_clear()
