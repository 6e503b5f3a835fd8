"""The body of `system.erase_data`: forget a person, or an organization, everywhere, and prove it.

Each step may run again after it ran: an attempt begins with the step at which the one before ended.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Text, cast, func, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB

from models.organization import Organization, OrganizationStatus
from models.privacy import RequestScope, RequestState
from tasks.catalog import ERASE_DATA
from tasks.payloads import PrivacyJob
from tasks.privacy import everything, outside, traces
from tasks.privacy.person import Subject
from tasks.privacy.request import (
    change_request,
    end_request,
    find_request,
    note_step,
    read_subject,
    seal_subject,
)
from tasks.privacy.task import Erasure
from tasks.vault import get_vault
from worker.context import Completion, OutsideJob, PermanentJobError
from worker.job import runs

log = structlog.get_logger(__name__)

Step = Callable[[Erasure], Mapping[str, Any]]

PERSON_STEPS: Mapping[str, Step] = MappingProxyType(
    {
        "posts": outside.remove_posts,
        "media": outside.remove_media,
        "exports": outside.remove_exports,
        "analytics": traces.forget_visits,
        "rows": traces.forget_rows,
        "caches": outside.forget_caches,
        "texts": traces.sweep,
    }
)
"""What is done about a person, in this order; the last one searches and fails if anything is found."""

ORGANIZATION_STEPS: Mapping[str, Step] = MappingProxyType(
    {
        "posts": outside.remove_posts,
        "closing": everything.close,
        "media": outside.remove_media,
        "exports": outside.remove_exports,
        "caches": outside.forget_caches,
        "tables": everything.empty_tables,
    }
)


@runs(ERASE_DATA)
def erase(job: OutsideJob, payload: PrivacyJob) -> Completion:
    """Take every step that no earlier attempt has taken, then write the proof."""
    erasure, done = _begin(job, payload.request_id)
    if erasure is None:
        return Completion({"erased": False})
    steps = PERSON_STEPS if erasure.person is not None else ORGANIZATION_STEPS
    for name, step in steps.items():
        if name not in done:
            job.check()
            done[name] = dict(step(erasure))
            with job.transaction() as session:
                note_step(session, erasure.request_id, name, done[name])
            log.info("erasure step done", step=name)
    _end(erasure, done)
    return Completion({"erased": True})


def _begin(job: OutsideJob, request_id: UUID) -> tuple[Erasure | None, dict[str, Any]]:
    """Find out whom it is about, and keep that: the next attempt finds their rows gone."""
    with job.transaction() as session:
        request = find_request(session, request_id)
        if request is None or request.state == RequestState.SUCCEEDED:
            return None, {}
        subject = read_subject(get_vault(), request)
        if request.scope == RequestScope.PERSON and subject is None:
            raise PermanentJobError("nobody knows any more whom the request is about")
        values: dict[str, Any] = {"state": RequestState.RUNNING, "job_id": job.claim.job_id}
        if isinstance(subject, Subject):
            subject = subject.identify(session)
            values["subject_encrypted"] = seal_subject(
                get_vault(), job.claim.organization_id, request_id, subject
            )
        change_request(session, request_id, **values)
        return Erasure(job, request_id, subject), dict(request.progress)


def _end(erasure: Erasure, done: Mapping[str, Any]) -> None:
    """Write the proof, which names nobody, into the request and the audit log."""
    proof = {"pseudonym": str(erasure.request_id), **done}
    with erasure.transaction() as session:
        if erasure.person is None:
            session.execute(
                update(Organization)
                .values(status=OrganizationStatus.INACTIVE)
                .execution_options(include_deleted=True, synchronize_session=False)
            )
        subject = cast(str(erasure.request_id), Text)
        session.execute(select(func.app.audit("privacy.proof", subject, literal(proof, JSONB()))))
        end_request(session, erasure.request_id, proof)
