"""One person, Lea, known in every place where a person can be known."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from config.settings import Settings, get_settings
from models.organization import Tenant
from models.privacy import PrivacyRequest, RequestKind, RequestScope
from models.session import Database, tenant_session
from tasks.media_store import get_media_store
from tasks.payloads import PrivacyJob
from tasks.privacy.archive import get_archives
from tasks.privacy.erase import erase
from tasks.privacy.export import export
from tasks.privacy.person import Subject
from tasks.privacy.request import seal_subject
from tasks.vault import get_vault
from worker.context import Claim, Completion, OutsideJob

Ask = Callable[..., UUID]
Run = Callable[[Tenant, UUID], Completion]


@pytest.fixture
def folders(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of media and archives of this test's own."""
    monkeypatch.setenv("GENIUS_MEDIA_DIRECTORY", str(tmp_path / "media"))
    monkeypatch.setenv("GENIUS_EXPORT_DIRECTORY", str(tmp_path / "exports"))
    for cached in (get_settings, get_media_store, get_archives, get_vault):
        cached.cache_clear()
    return tmp_path


@pytest.fixture
def ask(database: Database, folders: Path) -> Ask:
    """Record a request: ``ask(tenant, RequestKind.ERASURE, Subject(...) or None)``."""

    def record(tenant: Tenant, kind: RequestKind, subject: Subject | None) -> UUID:
        request_id, organization_id = uuid7(), tenant.organization_id
        sealed = subject and seal_subject(get_vault(), organization_id, request_id, subject)
        scope = RequestScope.ORGANIZATION if subject is None else RequestScope.PERSON
        with tenant_session(database, organization_id) as session:
            session.add(
                PrivacyRequest(
                    organization_id=organization_id,
                    id=request_id,
                    kind=kind,
                    scope=scope,
                    subject_encrypted=sealed,
                )
            )
        return request_id

    return record


def unchecked() -> None:
    """Stand for a lease that holds."""


@pytest.fixture
def run(database: Database) -> Callable[..., Completion]:
    """Run a request's body as a worker does, without a queue: ``run(tenant, body, request_id)``."""

    def run_body(
        tenant: Tenant,
        body: Callable[..., Completion],
        request_id: UUID,
        *,
        check: Callable[[], None] = unchecked,
    ) -> Completion:
        claim = Claim(
            organization_id=tenant.organization_id,
            job_id=uuid7(),
            kind="test.kind",
            attempt=1,
            max_attempts=8,
            payload={},
            created_at=datetime.now(UTC),
        )
        job = OutsideJob(claim, partial(tenant_session, database, tenant.organization_id), check)
        return body(job, PrivacyJob(request_id=request_id))

    return run_body


@pytest.fixture
def erased(ask: Ask, run: Callable[..., Completion]) -> Callable[[Tenant, Subject | None], UUID]:
    """Erase a person, or None the organization; returns the request's id."""

    def erase_now(tenant: Tenant, subject: Subject | None) -> UUID:
        request_id = ask(tenant, RequestKind.ERASURE, subject)
        run(tenant, erase, request_id)
        return request_id

    return erase_now


@pytest.fixture
def exported(ask: Ask, run: Callable[..., Completion]) -> Callable[[Tenant, Subject | None], UUID]:
    """Export a person, or None the organization; returns the request's id."""

    def export_now(tenant: Tenant, subject: Subject | None) -> UUID:
        request_id = ask(tenant, RequestKind.EXPORT, subject)
        run(tenant, export, request_id)
        return request_id

    return export_now
