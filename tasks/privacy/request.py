"""The row of an export or erasure, as its job and the intake use it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Text, cast, func, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from models.privacy import PrivacyRequest, RequestState
from tasks.privacy.person import Person, Subject
from tasks.vault import Place, Vault


class _Sealed(BaseModel):
    """One of the two."""

    subject: Subject | None = None
    person: Person | None = None


def place_of(organization_id: UUID, request_id: UUID) -> Place:
    """Return where the ciphertext of a request's subject lies."""
    return Place(organization_id, PrivacyRequest.__tablename__, "subject_encrypted", request_id)


def seal_subject(vault: Vault, organization_id: UUID, request_id: UUID, subject: Subject | Person) -> bytes:
    """Encrypt whom a request is about."""
    sealed = _Sealed(person=subject) if isinstance(subject, Person) else _Sealed(subject=subject)
    return vault.encrypt(sealed.model_dump_json(), place_of(organization_id, request_id))


def read_subject(vault: Vault, row: PrivacyRequest) -> Subject | Person | None:
    """Return whom a request is about: as it was asked, or as they were found; None is the organization."""
    if row.subject_encrypted is None:
        return None
    place = place_of(row.organization_id, row.id)
    sealed = _Sealed.model_validate_json(vault.decrypt(row.subject_encrypted, place))
    return sealed.person or sealed.subject


def find_request(session: Session, request_id: UUID, *, lock: bool = False) -> PrivacyRequest | None:
    """Return a request, or None; *lock* it until the transaction ends."""
    statement = select(PrivacyRequest).where(PrivacyRequest.id == request_id)
    return session.scalars(statement.with_for_update() if lock else statement).one_or_none()


def change_request(session: Session, request_id: UUID, **values: Any) -> None:
    """Write columns of a request."""
    session.execute(
        update(PrivacyRequest)
        .where(PrivacyRequest.id == request_id)
        .values(**values)
        .execution_options(synchronize_session=False)
    )


def note_step(session: Session, request_id: UUID, step: str, did: Mapping[str, Any]) -> None:
    """Remember with the request that a step is done, and what it did."""
    change_request(
        session,
        request_id,
        progress=PrivacyRequest.progress.op("||")(
            func.jsonb_build_object(cast(step, Text), literal(dict(did), JSONB()))
        ),
    )


def end_request(session: Session, request_id: UUID, outcome: Mapping[str, Any], **values: Any) -> None:
    """Write what came of a request, and forget whom it was about."""
    change_request(
        session,
        request_id,
        state=RequestState.SUCCEEDED,
        outcome=dict(outcome),
        subject_encrypted=None,
        finished_at=datetime.now(UTC),
        **values,
    )
