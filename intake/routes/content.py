"""The content library: texts, and media with the addresses by which platforms fetch them."""

from typing import Annotated, Literal
from uuid import UUID

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse
from pydantic import Field
from sqlalchemy import func, insert, select, update
from uuid_utils.compat import uuid7

from intake.allowance import make_room
from intake.auth import AnyCaller, Caller, allowed
from intake.ingest.fields import Attributes, Body, Short
from intake.limits import BodyTooLargeError
from intake.openapi import READ_ONE, WRITE, Responses, problems
from intake.post_body import refuse_fields
from intake.problem import NotFoundError
from intake.resource.declaration import Resource, equals, holds
from intake.resource.router import routes_of
from intake.views.content import MEDIUM_COLUMNS, MediumDetails, TextView
from models.content import AssetKind, AssetStatus, ContentAsset
from models.session import Database, tenant_session
from models.user import Permission
from tasks.media_link import PATH, is_good
from tasks.media_store import ForeignKeyError, MediaStore, MediaTooLargeError, Stored, key_of
from tasks.media_type import Seen, UnknownTypeError, look
from tasks.payloads import LONGEST_POST, Text, storable

router = APIRouter(tags=["content"])

Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_SOCIAL))]
Tags = Annotated[list[Annotated[Text, Field(min_length=1, max_length=100)]], Field(max_length=50)]
Script = Annotated[Text, Field(min_length=1, max_length=LONGEST_POST)]
MEDIA = "/api/v1/content/media"
KEPT_BY_NOBODY = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
BYTES: Responses = {
    200: {
        "description": "The bytes, as they were uploaded.",
        "content": {
            media: {"schema": {"type": "string", "format": "binary"}} for media in ("image/*", "video/*")
        },
    }
}
_raw = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class MediumChange(Body):
    """What to change of what is told of a medium; the file itself stays."""

    title: Annotated[Text, Field(max_length=200)] = ""
    alt_text: Annotated[Text, Field(max_length=2_000)] | None = None
    status: AssetStatus = AssetStatus.APPROVED
    tags: Tags = []  # noqa: RUF012 - pydantic copies defaults
    campaign_id: UUID | None = None


class TextChange(Body):
    """What to change; a field that is left out stays, null empties it."""

    kind: Literal[AssetKind.TEXT, AssetKind.TEMPLATE] = AssetKind.TEXT
    title: Short = ""
    body: Script = ""
    status: AssetStatus = AssetStatus.DRAFT
    tags: Tags = []  # noqa: RUF012 - pydantic copies defaults
    attributes: Attributes = {}  # noqa: RUF012 - as above
    campaign_id: UUID | None = None


class TextBody(TextChange):
    """A new text, or a template of one."""

    title: Short
    body: Script


_FILTERS = {
    "kind": equals(ContentAsset.kind, AssetKind),
    "status": equals(ContentAsset.status, AssetStatus),
    "tag": holds(ContentAsset.tags),
    "campaign_id": equals(ContentAsset.campaign_id, UUID),
}

MEDIUM = Resource(
    name="medium",
    path="/content/media",
    table=ContentAsset,
    view=MediumDetails,
    change=MediumChange,
    manage=Permission.MANAGE_SOCIAL,
    removable=False,  # the routes below do, with the file
    only=(ContentAsset.storage_key.is_not(None),),
    filters=_FILTERS,
    sorts=("created_at", "updated_at"),
)
TEXT = Resource(
    name="text",
    path="/content/texts",
    table=ContentAsset,
    view=TextView,
    create=TextBody,
    change=TextChange,
    manage=Permission.MANAGE_SOCIAL,
    bulk=True,
    only=(ContentAsset.kind.in_((AssetKind.TEXT, AssetKind.TEMPLATE)), ContentAsset.body.is_not(None)),
    filters=_FILTERS,
    sorts=("created_at", "updated_at"),
)

Title = Annotated[str, Query(max_length=200)]
AltText = Annotated[str | None, Query(max_length=2_000, description="For who cannot see it.")]


@router.post(
    MEDIA,
    status_code=201,
    responses=WRITE,
    openapi_extra=_raw,
    summary="Upload a picture or film: the body is the file",
)
async def upload(
    request: Request, caller: Manager, *, title: Title = "", alt_text: AltText = None
) -> MediumDetails:
    """What it is, is found by looking at it; its size counts for `storage_gb`."""
    _storable(title=title, alt_text=alt_text or "")
    store, organization_id, asset_id = _store(request), caller.tenant.organization_id, uuid7()
    most: int = request.app.state.settings.max_media_bytes
    try:
        key = key_of(organization_id, asset_id)
        stored = await store.write(key, request.stream(), most=most)
    except MediaTooLargeError as error:
        raise BodyTooLargeError(error.most) from None
    try:
        return await to_thread.run_sync(
            lambda: _keep(request, caller, stored, asset_id, title=title, alt_text=alt_text)
        )
    except BaseException:
        store.remove(organization_id, stored.key)
        raise


def _storable(**texts: str) -> None:
    for name, text in texts.items():
        try:
            storable(text)
        except ValueError as error:
            raise refuse_fields((name, str(error))) from None


def _keep(  # noqa: PLR0913 - what is kept has so many parts
    request: Request, caller: Caller, stored: Stored, asset_id: UUID, *, title: str, alt_text: str | None
) -> MediumDetails:
    organization_id = caller.tenant.organization_id
    try:
        seen = look(_store(request).path(organization_id, stored.key))
    except UnknownTypeError as error:
        raise refuse_fields(("body", str(error))) from None
    with tenant_session(request.app.state.database, organization_id) as session:
        make_room(session, caller, "storage_gb", stored.size)
        values = _values(stored, seen) | {"title": title, "alt_text": alt_text}
        statement = insert(ContentAsset).values(organization_id=organization_id, id=asset_id, **values)
        return MediumDetails.model_validate(session.execute(statement.returning(*MEDIUM_COLUMNS)).one())


def _values(stored: Stored, seen: Seen) -> dict[str, object]:
    return {
        "kind": AssetKind.VIDEO if seen.is_film else AssetKind.IMAGE,
        "status": AssetStatus.APPROVED,
        "media_type": seen.content_type,
        "byte_size": stored.size,
        "sha256": stored.sha256,
        "storage_key": stored.key,
        "width": seen.width,
        "height": seen.height,
        "duration_ms": None if seen.duration is None else round(seen.duration.total_seconds() * 1000),
    }


@router.get(
    MEDIA + "/{item_id}/file",
    responses=READ_ONE | BYTES,
    response_class=FileResponse,
    summary="The medium itself",
)
def file(request: Request, caller: AnyCaller, item_id: UUID) -> FileResponse:
    return _file(request, caller.tenant.organization_id, item_id)


@router.delete(
    MEDIA + "/{item_id}", status_code=204, responses=READ_ONE | problems(409), summary="Remove a medium"
)
def remove(request: Request, caller: Manager, item_id: UUID) -> None:
    """Posts that have not gone out with it can no longer."""
    organization_id = caller.tenant.organization_id
    with tenant_session(request.app.state.database, organization_id) as session:
        row = session.scalars(
            select(ContentAsset).where(ContentAsset.id == item_id, ContentAsset.storage_key.is_not(None))
        ).one_or_none()
        if row is None or row.storage_key is None:
            raise NotFoundError("medium")
        key = row.storage_key
        session.execute(
            update(ContentAsset)
            .where(ContentAsset.id == item_id)
            .values(deleted_at=func.now(), storage_key=None, byte_size=0)
        )
    _store(request).remove(organization_id, key)


@router.get(
    PATH + "/{organization_id}/{asset_id}/{expires_at}/{signature}",
    responses=problems(404, 422, 500, 503) | BYTES,
    response_class=FileResponse,
    summary="A medium, for the platform that was given this address",
)
def fetched(
    request: Request, organization_id: UUID, asset_id: UUID, expires_at: int, signature: str
) -> FileResponse:
    """No token: the address is signed for one medium and a day."""
    if not is_good(organization_id, asset_id, expires_at, signature):
        raise NotFoundError("medium")
    return _file(request, organization_id, asset_id)


def _file(request: Request, organization_id: UUID, asset_id: UUID) -> FileResponse:
    database: Database = request.app.state.database
    with tenant_session(database, organization_id) as session:
        columns = (ContentAsset.storage_key, ContentAsset.media_type)
        row = session.execute(select(*columns).where(ContentAsset.id == asset_id)).one_or_none()
    if row is None or row.storage_key is None:
        raise NotFoundError("medium")
    try:
        path = _store(request).path(organization_id, row.storage_key)
    except ForeignKeyError:
        raise NotFoundError("medium") from None
    if not path.is_file():
        raise NotFoundError("medium")
    return FileResponse(path, media_type=row.media_type, headers=KEPT_BY_NOBODY)


def _store(request: Request) -> MediaStore:
    return MediaStore(request.app.state.settings.media_directory)


router.include_router(routes_of(MEDIUM))
router.include_router(routes_of(TEXT))
