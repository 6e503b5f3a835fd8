"""Settings of an organization: declared keys, each with its type."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import JsonValue, TypeAdapter, ValidationError
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from intake.auth import AnyCaller, Caller, allowed
from intake.body import body_of
from intake.ingest.fields import Body
from intake.lock import one_at_a_time
from intake.openapi import READ, READ_ONE, WRITE, problems
from intake.problem import NotFoundError
from intake.resource.etag import IfMatch, IfNoneMatch, answer, require_match
from intake.resource.router import TAGGED, UNCHANGED
from intake.setting_keys import KEYS, SettingKey
from intake.validation import refuse
from intake.views.organization import SettingView
from models.session import tenant_session
from models.setting import Setting
from models.user import Permission

router = APIRouter(prefix="/api/v1/settings", tags=["settings"])

Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_SETTINGS))]
Key = Annotated[str, Path(max_length=100)]


class SettingBody(Body):
    """The value, of whatever type the key has."""

    value: JsonValue


_setting, _setting_extra = body_of("SettingBody", TypeAdapter(SettingBody))


@router.get("", responses=READ, summary="All settings, those too that have their default")
def settings(request: Request, caller: AnyCaller) -> list[SettingView]:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        return _views(session, *KEYS.values())


@router.get(
    "/{key}", response_model=SettingView, responses=READ_ONE | TAGGED | UNCHANGED, summary="One setting"
)
def setting(request: Request, caller: AnyCaller, key: Key, if_none_match: IfNoneMatch = None) -> Response:
    declared = _declared(key)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        [found] = _views(session, declared)
    return answer(found, if_none_match=if_none_match)


@router.put(
    "/{key}",
    response_model=SettingView,
    responses=WRITE | problems(404, 412) | TAGGED,
    openapi_extra=_setting_extra,
    summary="Set one",
)
def put(
    request: Request,
    caller: Manager,
    key: Key,
    body: Annotated[SettingBody, _setting],
    if_match: IfMatch = None,
) -> Response:
    declared = _declared(key)
    value = _checked(declared, body.value)
    place = {"organization_id": caller.tenant.organization_id, "key": key}
    statement = insert(Setting).values(**place, value=value)
    kept = {"value": statement.excluded.value, "updated_at": func.now()}
    with _changing(request, caller, declared, if_match) as session:
        session.execute(statement.on_conflict_do_update(index_elements=list(place), set_=kept))
        [now] = _views(session, declared)
    return answer(now)


@router.delete("/{key}", status_code=204, responses=READ_ONE | problems(412), summary="Back to the default")
def unset(request: Request, caller: Manager, key: Key, if_match: IfMatch = None) -> None:
    declared = _declared(key)
    with _changing(request, caller, declared, if_match) as session:
        session.execute(delete(Setting).where(Setting.key == key))


def _declared(key: str) -> SettingKey:
    if key not in KEYS:
        raise NotFoundError("setting")
    return KEYS[key]


def _checked(declared: SettingKey, value: Any) -> Any:
    try:
        return declared.type.validate_python(value, strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise refuse([{**one, "loc": ("value", *one["loc"])} for one in found]) from None


def _views(session: Session, *keys: SettingKey) -> list[SettingView]:
    names = [key.name for key in keys]
    query = select(Setting.key, Setting.value).where(Setting.key.in_(names))
    made = {row.key: row.value for row in session.execute(query)}
    return [
        SettingView(
            key=key.name,
            value=made.get(key.name, key.default),
            default=key.default,
            is_set=key.name in made,
            purpose=key.purpose,
        )
        for key in keys
    ]


@contextmanager
def _changing(
    request: Request, caller: Caller, declared: SettingKey, if_match: str | None
) -> Iterator[Session]:
    """Open a transaction in which nobody else changes settings; an unset one has no row to lock."""
    organization_id = caller.tenant.organization_id
    with tenant_session(request.app.state.database, organization_id, actor=caller.user_id) as session:
        one_at_a_time(session, organization_id, "settings")
        [before] = _views(session, declared)
        require_match(if_match, before)
        yield session
