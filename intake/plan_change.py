"""Another plan: refused while there is more than it would allow; the subscription is kept in step."""

from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, object_session

from config.plans import terms_of
from intake.auth import Caller
from intake.lock import one_at_a_time
from intake.problem import FieldError, ProblemError
from intake.resource.etag import require_match
from intake.views.organization import SubscriptionView, TermsView
from models.meter import GAUGES
from models.organization import Organization, PlanName, Tenant
from models.quota import Allowance, Quota
from models.subscription import Subscription, SubscriptionStatus
from worker.terms import Change


def put_caller_on(plan: PlanName, caller: Caller, *, if_match: str | None) -> Change:
    """Return the change of the caller's organization to *plan*.

    Raises (when it is made):
        ProblemError: There is more than *plan* allows; each meter is named. Or the subscription was changed.
    """

    def change(organization: Organization) -> None:
        session = object_session(organization)
        if session is not None:  # else it is only asked what the change would make of a copy
            require_match(if_match, read_subscription(session, caller.tenant, organization))
            _refuse_unfit(session, caller.tenant, organization, plan)
            _record(session, caller.tenant, plan)
        organization.plan = plan.value

    return change


def read_subscription(session: Session, tenant: Tenant, organization: Organization) -> SubscriptionView:
    """Return what the organization has subscribed to, and what it may use by that."""
    query = select(Subscription).where(Subscription.status != SubscriptionStatus.CANCELLED)
    current = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    return SubscriptionView(
        plan=PlanName(organization.plan),
        status=SubscriptionStatus(current.status if current else SubscriptionStatus.ACTIVE),
        anchor_date=current.anchor_date if current else tenant.billing_anchor,
        started_at=current.started_at if current else None,
        ends_at=current.ends_at if current else None,
        terms=TermsView.of(terms_of(organization.plan, organization.plan_overrides)),
    )


def _refuse_unfit(session: Session, tenant: Tenant, organization: Organization, plan: PlanName) -> None:
    overrides = organization.plan_overrides
    before = terms_of(organization.plan, overrides).limits
    quota = Quota(session, replace(tenant, plan=plan.value, plan_overrides=overrides))
    unfit = []
    for meter in sorted(GAUGES):
        one_at_a_time(session, tenant.organization_id, meter)  # whoever adds one meanwhile waits
        allowance = quota.check_limit(meter)
        limit, former = allowance.limit, before.get(meter)
        is_less = limit is not None and (former is None or limit.amount < former.amount)
        if is_less and not allowance.covers(0):
            unfit.append(allowance)
    if unfit:
        raise _unfit(plan, unfit)


def _unfit(plan: PlanName, unfit: list[Allowance]) -> ProblemError:
    told = [
        {"meter": one.meter, "used": -(-one.used // one.unit), "limit": one.limit.amount}
        for one in unfit
        if one.limit is not None
    ]
    errors = list(_advice(told))
    return ProblemError(
        409,
        "plan-too-small",
        f"plan: {plan} {errors[0].message}" + (f" (and {len(told) - 1} more)" if len(told) > 1 else ""),
        errors=errors,
        extra={"meters": told},
    )


def _advice(told: list[dict[str, object]]) -> Iterator[FieldError]:
    for one in told:
        message = f"allows {one['limit']} {one['meter']} and you have {one['used']}: remove some first"
        yield FieldError(field="plan", message=message)


def _record(session: Session, tenant: Tenant, plan: PlanName) -> None:
    """Keep the subscription in step; the first change makes it, from the anchor that counted so far."""
    current = (
        update(Subscription)
        .where(Subscription.status != SubscriptionStatus.CANCELLED)
        .values(plan=plan.value, updated_at=func.now())
        .returning(Subscription.id)
        .execution_options(synchronize_session=False)
    )
    if session.execute(current).one_or_none() is None:
        session.add(
            Subscription(
                organization_id=tenant.organization_id,
                plan=plan.value,
                anchor_date=tenant.billing_anchor,
                started_at=func.now(),
            )
        )
        session.flush()
