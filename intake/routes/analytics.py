"""Analytics: ask for one metric, correct single events, erase visitors."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field, TypeAdapter
from sqlalchemy import Text, cast, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from intake.auth import Caller, allowed
from intake.body import body_of
from intake.ingest.event import CorrectionBatch, correct_events
from intake.ingest.fields import Body, Short
from intake.openapi import READ, WRITE
from intake.problem import FieldError, InvalidRequestError
from intake.remembered import answers_changed, remembered_answer
from intake.routes.events import Viewer, refuse_bad_times
from intake.views.analytics import AnswerView, CorrectedView, ErasedView
from models.session import tenant_session
from models.user import Permission
from tasks.analytics_amending import erase_visitors
from tasks.analytics_query import ADVANCED, QueryTooLargeError, answer, needs_advanced
from tasks.payloads import AnalyticsQuery
from worker.refusal import FeatureNotInPlanError

router = APIRouter(prefix="/api/v1/analytics", tags=["analytics"])

MOST_VISITORS = 100


class ErasureBody(Body):
    """Whom to forget, as events name them."""

    visitors: Annotated[tuple[Short, ...], Field(min_length=1, max_length=MOST_VISITORS)]


_corrections, _corrections_extra = body_of(
    "CorrectionBatch", TypeAdapter(CorrectionBatch), items="corrections"
)
_erasure, _erasure_extra = body_of("ErasureBody", TypeAdapter(ErasureBody))


@router.get(
    "/query",
    response_model=AnswerView,
    responses=READ,
    summary="One metric by period, broken down and compared",
)
def query(request: Request, caller: Viewer, asked: Annotated[AnalyticsQuery, Query()]) -> Response:
    if needs_advanced(asked) and not caller.tenant.terms.offers(ADVANCED):
        raise FeatureNotInPlanError(ADVANCED, caller.tenant.plan)
    try:
        content = remembered_answer(request, caller, asked, partial(_answer, request, caller, asked))
        return Response(content, media_type="application/json")
    except QueryTooLargeError as error:
        raise InvalidRequestError([FieldError(field=error.field, message=error.message)]) from None


def _answer(request: Request, caller: Caller, asked: AnalyticsQuery) -> AnswerView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        return AnswerView.model_validate(answer(session, asked, caller.tenant.time_zone))


@router.post(
    "/events/corrections",
    responses=WRITE,
    openapi_extra=_corrections_extra,
    summary="Replace or remove up to 1,000 events by their keys",
)
def correct(
    request: Request,
    caller: Annotated[Caller, Depends(allowed(Permission.MANAGE_CAMPAIGNS))],
    corrections: Annotated[CorrectionBatch, _corrections],
) -> CorrectedView:
    replacing = [
        (index, one.event) for index, one in enumerate(corrections.corrections) if one.event is not None
    ]
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        refuse_bad_times(session, caller, replacing, now=datetime.now(UTC), field="event.occurred_at")
        corrected = correct_events(session, caller.tenant.organization_id, corrections)
    answers_changed(request, caller)
    return CorrectedView.model_validate(corrected)


@router.post(
    "/erasures", responses=WRITE, openapi_extra=_erasure_extra, summary="Forget up to 100 visitors for good"
)
def erase(
    request: Request,
    caller: Annotated[Caller, Depends(allowed(Permission.MANAGE_LEADS))],
    erasure: Annotated[ErasureBody, _erasure],
) -> ErasedView:
    with tenant_session(
        request.app.state.database, caller.tenant.organization_id, actor=caller.user_id
    ) as session:
        done = erase_visitors(session, caller.tenant.organization_id, erasure.visitors)
        # How many, not whom: the log outlives what was forgotten.
        detail = literal({"visitors": len(erasure.visitors), "events": done.events}, JSONB())
        session.execute(select(func.app.audit("analytics.erased", cast(None, Text), detail)))
    answers_changed(request, caller)
    return ErasedView.model_validate(done)
