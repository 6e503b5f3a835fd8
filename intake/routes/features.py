"""Features of the plan, which an organization may switch off and on again."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import StrictBool, TypeAdapter
from sqlalchemy import select

from config.plans import FEATURES, Plan, terms_of
from intake.auth import AnyCaller, Caller, allowed
from intake.body import body_of
from intake.ingest.fields import Body
from intake.openapi import READ, READ_ONE, WRITE, problems
from intake.problem import NotFoundError
from intake.resource.etag import IfMatch, IfNoneMatch, answer, require_match
from intake.resource.router import TAGGED, UNCHANGED
from intake.views.organization import FeatureView
from models.organization import Organization
from models.session import tenant_session
from models.user import Permission
from worker.refusal import FeatureNotInPlanError
from worker.terms import Change, change_organization, override

router = APIRouter(prefix="/api/v1/features", tags=["features"])

Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_SETTINGS))]
Feature = Annotated[str, Path(max_length=100)]


class FeatureChange(Body):
    on: StrictBool


_change, _change_extra = body_of("FeatureChange", TypeAdapter(FeatureChange))


@router.get("", responses=READ, summary="Every feature: whether you may have it, and whether it is on")
def features(request: Request, caller: AnyCaller) -> list[FeatureView]:
    terms = _terms(request, caller)
    return [_view(terms, name) for name in sorted({*FEATURES, *terms.features} - {"all_features"})]


@router.get(
    "/{feature}", response_model=FeatureView, responses=READ_ONE | TAGGED | UNCHANGED, summary="One feature"
)
def feature(
    request: Request, caller: AnyCaller, feature: Feature, if_none_match: IfNoneMatch = None
) -> Response:
    terms = _terms(request, caller)
    return answer(_view(terms, feature), if_none_match=if_none_match)


@router.put(
    "/{feature}",
    response_model=FeatureView,
    responses=WRITE | problems(404, 412) | TAGGED,
    openapi_extra=_change_extra,
    summary="Switch a feature off, or on again",
    description="On goes only what the plan or an override allows; every gate follows within seconds.",
)
def switch(
    request: Request,
    caller: Manager,
    feature: Feature,
    body: Annotated[FeatureChange, _change],
    if_match: IfMatch = None,
) -> Response:
    changed = change_organization(
        request.app.state.database,
        request.app.state.publisher,
        caller.tenant.organization_id,
        _switched(feature, on=body.on, if_match=if_match),
        actor=caller.user_id,
    )
    return answer(_view(terms_of(changed.plan, changed.overrides), feature))


def _switched(feature: str, *, on: bool, if_match: str | None) -> Change:
    """Return the change; what it looks at is locked when it is made."""

    def change(organization: Organization) -> None:
        terms = terms_of(organization.plan, organization.plan_overrides)
        require_match(if_match, _view(terms, feature))
        if on and not terms.allows(feature):
            raise FeatureNotInPlanError(feature, terms.name)
        off = terms.switched_off - {feature} if on else terms.switched_off | {feature}
        override({"switched_off": sorted(off)} if off else {}, without=frozenset({"switched_off"}))(
            organization
        )

    return change


def _terms(request: Request, caller: Caller) -> Plan:
    """Return the terms as they are now, not as they were remembered."""
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        organization = session.scalars(select(Organization)).one()
        return terms_of(organization.plan, organization.plan_overrides)


def _view(terms: Plan, name: str) -> FeatureView:
    if name not in FEATURES and name not in terms.features:
        raise NotFoundError("feature")
    return FeatureView(feature=name, allowed=terms.allows(name), on=terms.offers(name))
