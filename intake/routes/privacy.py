"""Exports and erasures: of one person, or of the whole organization."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse
from pydantic import Field, TypeAdapter, model_validator
from sqlalchemy import Text, cast, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from intake.auth import Caller, allowed
from intake.body import body_of
from intake.ingest.fields import Body
from intake.openapi import READ, READ_ONE, WRITE
from intake.paging import Cursor, CursorParameter, Limit, Page
from intake.problem import FieldError, InvalidRequestError, NotFoundError
from intake.views.base import View
from models.privacy import PrivacyRequest, RequestKind, RequestScope, RequestState
from models.session import tenant_session
from models.user import Permission
from tasks.catalog import ERASE_DATA, EXPORT_DATA
from tasks.payloads import PrivacyJob
from tasks.payloads import Text as Storable
from tasks.privacy.archive import archive_path, get_archives
from tasks.privacy.person import SHORTEST_WORD, Subject
from tasks.privacy.request import seal_subject
from worker.fan_out import submit_within
from worker.submit import Submission

router = APIRouter(prefix="/api/v1/privacy", tags=["privacy"])

Officer = Annotated[Caller, Depends(allowed(Permission.MANAGE_PRIVACY))]
KINDS = {RequestKind.EXPORT: EXPORT_DATA, RequestKind.ERASURE: ERASE_DATA}
_places = Cursor(TypeAdapter(UUID))

Word = Annotated[Storable, Field(min_length=SHORTEST_WORD, max_length=200)]


class PersonBody(Body):
    """One person, named in one way."""

    lead_id: UUID | None = None
    user_id: UUID | None = None
    email: Annotated[Storable, Field(min_length=SHORTEST_WORD, max_length=320)] | None = None
    also: Annotated[tuple[Word, ...], Field(max_length=20)] = ()
    """Other words by which only this person is known: former addresses, names, handles."""

    @model_validator(mode="after")
    def one_name(self) -> Self:
        """Refuse none and more than one of the ways to name a person."""
        if [self.lead_id is not None, self.user_id is not None, self.email is not None].count(True) != 1:
            raise ValueError("give one of lead_id, user_id and email")
        return self

    def subject(self) -> Subject:
        """Return whom it names."""
        return Subject(lead_id=self.lead_id, user_id=self.user_id, email=self.email, also=self.also)


class ExportBody(Body):
    """Whom the archive is of; without a person, of the whole organization."""

    person: PersonBody | None = None


class ErasureBody(Body):
    """Whom to forget for good: a person, or the organization with all it has."""

    person: PersonBody | None = None
    organization: Annotated[str, Field(max_length=500)] | None = None
    """The organization's name, so that nobody erases it by a slip."""

    @model_validator(mode="after")
    def one_of_both(self) -> Self:
        """Refuse both at once, and neither."""
        if (self.person is None) == (self.organization is None):
            raise ValueError("give either person, or organization: the name of yours")
        return self


class RequestView(View):
    """An export or erasure."""

    id: UUID
    kind: RequestKind
    scope: RequestScope
    state: RequestState
    job_id: UUID | None
    created_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None
    """When the archive is removed."""
    byte_size: int | None
    sha256: str | None
    """Of the archive, in hex."""
    outcome: dict[str, Any] | None
    """Rows by file of an export; the proof of an erasure, which names nobody."""

    @classmethod
    def of(cls, row: PrivacyRequest) -> Self:
        """Show a request."""
        shown = {name: getattr(row, name) for name in cls.model_fields if name != "sha256"}
        return cls(**shown, sha256=None if row.sha256 is None else row.sha256.hex())


_export, _export_extra = body_of("ExportBody", TypeAdapter(ExportBody))
_erasure, _erasure_extra = body_of("ErasureBody", TypeAdapter(ErasureBody))


@router.post(
    "/exports",
    status_code=202,
    responses=WRITE,
    openapi_extra=_export_extra,
    summary="Have everything of a person, or of the organization, put into one archive",
)
def export(
    request: Request, response: Response, caller: Officer, body: Annotated[ExportBody, _export]
) -> RequestView:
    return _record(request, response, caller, RequestKind.EXPORT, body.person)


@router.post(
    "/erasures",
    status_code=202,
    responses=WRITE,
    openapi_extra=_erasure_extra,
    summary="Forget a person, or the whole organization, everywhere and for good",
)
def erase(
    request: Request, response: Response, caller: Officer, body: Annotated[ErasureBody, _erasure]
) -> RequestView:
    if body.organization is not None:
        caller.require(Permission.MANAGE_OWNERS)
        if body.organization != caller.tenant.name:
            raise InvalidRequestError(
                [FieldError(field="organization", message="is not your organization's name")]
            )
    return _record(request, response, caller, RequestKind.ERASURE, body.person)


@router.get("/requests", responses=READ, summary="List exports and erasures, newest first")
def requests(
    request: Request,
    caller: Officer,
    *,
    kind: Literal["export", "erasure"] | None = None,
    cursor: CursorParameter = None,
    limit: Limit = 50,
) -> Page[RequestView]:
    before = _places.read(cursor)
    query = select(PrivacyRequest).order_by(PrivacyRequest.id.desc()).limit(limit + 1)
    if kind is not None:
        query = query.where(PrivacyRequest.kind == kind)
    if before is not None:
        query = query.where(PrivacyRequest.id < before)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        rows = session.scalars(query).all()
    shown, following = _places.page(rows, limit, lambda row: row.id)
    return Page(items=[RequestView.of(row) for row in shown], next_cursor=following)


@router.get("/requests/{request_id}", responses=READ_ONE, summary="How an export or erasure fares")
def one_request(request: Request, caller: Officer, request_id: UUID) -> RequestView:
    return RequestView.of(_find(request, caller, request_id))


@router.get(
    "/exports/{request_id}/archive",
    responses={**READ_ONE, 200: {"content": {"application/zip": {}}}},
    response_class=FileResponse,
    summary="Download the archive of an export",
)
def archive(request: Request, caller: Officer, request_id: UUID) -> FileResponse:
    found = _find(request, caller, request_id)
    path = archive_path(get_archives(), found.organization_id, found.id)
    is_there = found.state == RequestState.SUCCEEDED and found.expires_at is not None and path.is_file()
    if found.kind != RequestKind.EXPORT or not is_there or found.expires_at <= datetime.now(UTC):  # type: ignore[operator] # is_there says so
        raise NotFoundError("archive")
    with tenant_session(request.app.state.database, found.organization_id) as session:
        _audit(session, "privacy.download", found.id, {})
    return FileResponse(path, media_type="application/zip", filename=f"export-{found.id}.zip")


def _find(request: Request, caller: Caller, request_id: UUID) -> PrivacyRequest:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        found = session.scalars(select(PrivacyRequest).where(PrivacyRequest.id == request_id)).one_or_none()
    if found is None:
        raise NotFoundError("request")
    return found


def _record(
    request: Request, response: Response, caller: Caller, kind: RequestKind, person: PersonBody | None
) -> RequestView:
    """Record the request and its job together; the log says that it was asked for, not about whom."""
    request_id, organization_id = uuid7(), caller.tenant.organization_id
    row = PrivacyRequest(
        organization_id=organization_id,
        id=request_id,
        kind=kind,
        scope=RequestScope.ORGANIZATION if person is None else RequestScope.PERSON,
    )
    if person is not None:
        vault = request.app.state.vault
        row.subject_encrypted = seal_subject(vault, organization_id, request_id, person.subject())
    with tenant_session(request.app.state.database, organization_id) as session:
        session.add(row)
        session.flush()
        [job] = submit_within(session, [Submission(KINDS[kind], PrivacyJob(request_id=request_id))])
        row.job_id = job.id
        _audit(session, f"privacy.{kind}", request_id, {"scope": row.scope})
        session.flush()
        session.refresh(row)
        shown = RequestView.of(row)
    response.headers["Location"] = f"{router.prefix}/requests/{request_id}"
    return shown


def _audit(session: Session, action: str, subject: UUID, detail: dict[str, str]) -> None:
    about = cast(str(subject), Text)
    session.execute(select(func.app.audit(action, about, literal(detail, JSONB()))))
