"""Reads and writes an organization's branding, which reports are made with too."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from intake.auth import Caller
from intake.lock import one_at_a_time
from intake.resource.etag import require_match
from intake.validation import refuse
from intake.views.branding import BrandingView
from models.session import Database, TenantSession, tenant_session
from models.setting import Setting
from tasks.branding import FEATURE, SETTING, Branding
from worker.refusal import FeatureNotInPlanError

Look = dict[str, Any]


def read_look(database: Database, caller: Caller) -> BrandingView:
    """Return how the organization wants to look."""
    return look_of(database, caller.tenant.organization_id)


def look_of(database: Database, organization_id: UUID) -> BrandingView:
    """Return how an organization wants to look; one without rows, as usual."""
    with tenant_session(database, organization_id) as session:
        return _view(_kept(session))


def write_look(
    database: Database, caller: Caller, change: Callable[[Look], Look], *, if_match: str | None = None
) -> BrandingView:
    """Write what *change* makes of what is kept; an empty look is none.

    Raises:
        FeatureNotInPlanError: The plan has no look of one's own; to take it back needs no plan.
        InvalidRequestError: What would come of it cannot be.
    """
    tenant = caller.tenant
    with tenant_session(database, tenant.organization_id, actor=caller.user_id) as session:
        one_at_a_time(session, tenant.organization_id, "settings")
        before = _kept(session)
        require_match(if_match, _view(before))
        after = _checked(change(before))
        if after and not tenant.terms.offers(FEATURE):
            raise FeatureNotInPlanError(FEATURE, tenant.plan)
        if after:
            _keep(session, caller, after)
        else:
            session.execute(delete(Setting).where(Setting.key == SETTING))
    return _view(after)


def _kept(session: TenantSession) -> Look:
    value: Look | None = session.scalars(select(Setting.value).where(Setting.key == SETTING)).one_or_none()
    return value or {}


def _checked(look: Look) -> Look:
    try:
        return Branding.model_validate(look).model_dump(mode="json", exclude_none=True)
    except ValidationError as error:
        raise refuse(error) from None


def _keep(session: TenantSession, caller: Caller, look: Look) -> None:
    place = {"organization_id": caller.tenant.organization_id, "key": SETTING}
    kept = {"value": look, "updated_at": func.now()}
    statement = insert(Setting).values(**place, value=look)
    session.execute(statement.on_conflict_do_update(index_elements=list(place), set_=kept))


def _view(look: Look) -> BrandingView:
    return BrandingView.model_validate(Branding.model_validate(look))
