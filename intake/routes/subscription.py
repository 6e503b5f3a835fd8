"""The organization's subscription, and what each plan offers."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import TypeAdapter
from sqlalchemy import select

from config.plans import PLANS
from intake.auth import AnyCaller, Caller, allowed
from intake.body import body_of
from intake.ingest.fields import Body
from intake.openapi import READ, WRITE, problems
from intake.plan_change import put_caller_on, read_subscription
from intake.resource.etag import IfMatch, IfNoneMatch, answer
from intake.resource.router import TAGGED, UNCHANGED
from intake.views.organization import SubscriptionView, TermsView
from models.organization import Organization, PlanName
from models.session import tenant_session
from models.user import Permission
from worker.terms import change_organization

router = APIRouter(prefix="/api/v1", tags=["subscription"])

Payer = Annotated[Caller, Depends(allowed(Permission.MANAGE_BILLING))]


class SubscriptionChange(Body):
    plan: PlanName


_change, _change_extra = body_of("SubscriptionChange", TypeAdapter(SubscriptionChange))


@router.get("/plans", responses=READ, summary="What each plan offers, the smallest first")
def plans(caller: AnyCaller) -> list[TermsView]:  # noqa: ARG001 - declares who may
    return [TermsView.of(plan) for plan in PLANS.values()]


@router.get(
    "/subscription",
    response_model=SubscriptionView,
    responses=READ | TAGGED | UNCHANGED,
    summary="Your plan, and what you may use by it",
)
def subscription(request: Request, caller: AnyCaller, if_none_match: IfNoneMatch = None) -> Response:
    return answer(_subscription(request, caller), if_none_match=if_none_match)


@router.patch(
    "/subscription",
    response_model=SubscriptionView,
    responses=WRITE | problems(409, 412) | TAGGED,
    openapi_extra=_change_extra,
    summary="Change the plan",
    description="Gates, limits and queue follow within seconds. Refused while you have more than it allows.",
)
def change(
    request: Request, caller: Payer, body: Annotated[SubscriptionChange, _change], if_match: IfMatch = None
) -> Response:
    change_organization(
        request.app.state.database,
        request.app.state.publisher,
        caller.tenant.organization_id,
        put_caller_on(body.plan, caller, if_match=if_match),
        actor=caller.user_id,
    )
    return answer(_subscription(request, caller))


def _subscription(request: Request, caller: Caller) -> SubscriptionView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        return read_subscription(session, caller.tenant, session.scalars(select(Organization)).one())
