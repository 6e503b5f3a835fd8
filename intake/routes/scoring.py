"""Lead scoring: rules in versions, the predictive model and its card."""

from contextlib import AbstractContextManager
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field, TypeAdapter
from sqlalchemy import cast, func, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from intake.auth import AnyCaller, Caller, allowed
from intake.body import body_of
from intake.ingest.fields import LONGEST_NAME, Body, Short
from intake.lock import one_at_a_time
from intake.openapi import READ, READ_ONE, WRITE, problems
from intake.paging import Cursor, CursorParameter, Limit, Page
from intake.problem import ConflictError, NotFoundError
from intake.views.scoring import (
    MODEL_COLUMNS,
    ModelView,
    PredictionView,
    RuleSetSummary,
    RuleSetView,
    default_rules,
    find_model_in_use,
    find_rules,
    list_models,
    list_rules,
)
from models.organization import Organization
from models.scoring import LeadModel, LeadRuleSet
from models.session import tenant_session
from models.setting import MODEL_EXCLUDED, Setting
from models.user import Permission
from tasks.catalog import TRAIN_MODEL
from tasks.scoring_rules import DEFAULT_VERSION, Rules
from worker.refusal import FeatureNotInPlanError

router = APIRouter(prefix="/api/v1/scoring", tags=["scoring"])

Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_LEADS))]
Version = Annotated[int, Path(ge=DEFAULT_VERSION, le=2**53)]


async def _predicting(caller: AnyCaller) -> Caller:
    """Refuse an organization whose plan has no predictive scoring."""
    feature = TRAIN_MODEL.feature
    if feature is not None and not caller.tenant.terms.offers(feature):
        raise FeatureNotInPlanError(feature, caller.tenant.plan)
    return caller


async def _managing_prediction(caller: Annotated[Caller, Depends(_predicting)]) -> Caller:
    caller.require(Permission.MANAGE_LEADS)
    return caller


Predicting = Annotated[Caller, Depends(_predicting)]
PredictionManager = Annotated[Caller, Depends(_managing_prediction)]


class RulesBody(Body):
    """Rules to put in force as the next version."""

    rules: Rules
    replaces: Annotated[
        int | None,
        Field(ge=DEFAULT_VERSION, description="The version you changed; refused if it is not in force now."),
    ] = None
    note: Short | None = None


class PredictionBody(Body):
    """What the predictive model may learn from; a field that is left out stays as it is."""

    excluded: Annotated[
        tuple[Annotated[Short, Field(max_length=LONGEST_NAME)], ...] | None, Field(max_length=200)
    ] = None
    pools_training_data: Annotated[
        bool | None, Field(description="Consent for the organization: needs manage_billing.")
    ] = None


_rules, _rules_extra = body_of("RulesBody", TypeAdapter(RulesBody))
_prediction, _prediction_extra = body_of("PredictionBody", TypeAdapter(PredictionBody))
_versions: Cursor[int] = Cursor(TypeAdapter(int))


@router.get("/rules", responses=READ, summary="The rules in force")
def rules_in_force(request: Request, caller: AnyCaller) -> RuleSetView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        return find_rules(session, None) or default_rules()


@router.put(
    "/rules",
    responses=WRITE | problems(409),
    openapi_extra=_rules_extra,
    summary="Put rules in force as the next version",
)
def replace_rules(request: Request, caller: Manager, body: Annotated[RulesBody, _rules]) -> RuleSetView:
    with _changing(request, caller) as session:
        return _put(session, caller, body)


@router.get("/rules/versions", responses=READ, summary="Versions of the rules, newest first")
def rule_versions(
    request: Request, caller: AnyCaller, *, cursor: CursorParameter = None, limit: Limit = 50
) -> Page[RuleSetSummary]:
    before = _versions.read(cursor)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        rows = list_rules(session, before=before, limit=limit + 1)
    shown, following = _versions.page(rows, limit, lambda row: row.version)
    return Page(items=[RuleSetSummary.model_validate(row) for row in shown], next_cursor=following)


@router.get(
    "/rules/versions/{version}", responses=READ_ONE, summary="One version of the rules; 0 is the defaults"
)
def rule_version(request: Request, caller: AnyCaller, version: Version) -> RuleSetView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        found = find_rules(session, version)
    if found is None:
        raise NotFoundError("version")
    return found


@router.post(
    "/rules/versions/{version}/restore",
    responses=READ_ONE,
    summary="Put an earlier version in force again, as the next one",
)
def restore_rules(request: Request, caller: Manager, version: Version) -> RuleSetView:
    with _changing(request, caller) as session:
        found = find_rules(session, version)
        if found is None:
            raise NotFoundError("version")
        note = f"version {version} again"
        return _put(session, caller, RulesBody(rules=Rules.model_validate(found.rules), note=note))


def _changing(request: Request, caller: Caller) -> AbstractContextManager[Session]:
    """Open a transaction whose changes the audit log puts down to the caller."""
    return tenant_session(request.app.state.database, caller.tenant.organization_id, actor=caller.user_id)


def _put(session: Session, caller: Caller, body: RulesBody) -> RuleSetView:
    """Make *body* the next version; of two at once the second sees the first's."""
    organization_id = caller.tenant.organization_id
    one_at_a_time(session, organization_id, "scoring/rules")
    current = session.scalars(select(func.max(LeadRuleSet.version))).one() or DEFAULT_VERSION
    if body.replaces is not None and body.replaces != current:
        raise ConflictError(
            "version-conflict",
            f"Version {current} is in force, not {body.replaces}: look at it, then change that one.",
            version=current,
        )
    session.add(
        LeadRuleSet(
            organization_id=organization_id,
            version=current + 1,
            rules=body.rules.model_dump(mode="json"),
            note=body.note,
            created_by=caller.user_id,
        )
    )
    session.flush()
    _audit(session, "scoring.rules", str(current + 1), {"note": body.note})
    found = find_rules(session, current + 1)
    assert found is not None
    return found


def _audit(session: Session, action: str, subject: str, detail: dict[str, object]) -> None:
    session.execute(select(func.app.audit(action, subject, cast(detail, JSONB))))


@router.get("/model", responses=READ, summary="The predictive model in use, and what it may learn from")
def model_in_use(request: Request, caller: Predicting) -> PredictionView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        return _prediction_view(session)


@router.get("/model/versions", responses=READ, summary="Versions of the model with their cards, newest first")
def model_versions(
    request: Request, caller: Predicting, *, cursor: CursorParameter = None, limit: Limit = 50
) -> Page[ModelView]:
    before = _versions.read(cursor)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        rows = list_models(session, before=before, limit=limit + 1)
    shown, following = _versions.page(rows, limit, lambda row: row.version)
    return Page(items=[ModelView.model_validate(row) for row in shown], next_cursor=following)


@router.post(
    "/model/versions/{version}/retire",
    responses=READ_ONE,
    summary="Use a version no more; the newest one left is used, or none",
)
def retire_model(request: Request, caller: PredictionManager, version: Version) -> ModelView:
    statement = (
        update(LeadModel)
        .where(LeadModel.version == version)
        .values(retired_at=func.coalesce(LeadModel.retired_at, func.now()))
        .returning(*MODEL_COLUMNS)
        .execution_options(synchronize_session=False)
    )
    with _changing(request, caller) as session:
        row = session.execute(statement).one_or_none()
        if row is None:
            raise NotFoundError("version")
        _audit(session, "scoring.model.retire", str(version), {})
    return ModelView.model_validate(row)


@router.patch(
    "/model", responses=WRITE, openapi_extra=_prediction_extra, summary="Say what the model may learn from"
)
def change_prediction(
    request: Request, caller: PredictionManager, body: Annotated[PredictionBody, _prediction]
) -> PredictionView:
    if body.pools_training_data is not None:
        caller.require(Permission.MANAGE_BILLING)
    with _changing(request, caller) as session:
        if body.excluded is not None:
            _exclude(session, caller, body.excluded)
        if body.pools_training_data is not None:
            consent = {"pools_training_data": body.pools_training_data}
            session.execute(update(Organization).values(consent))
            _audit(session, "scoring.consent", str(caller.tenant.organization_id), dict(consent))
        return _prediction_view(session)


def _exclude(session: Session, caller: Caller, names: tuple[str, ...]) -> None:
    kept = {"value": sorted(set(names)), "updated_at": func.now()}
    key = {"organization_id": caller.tenant.organization_id, "key": MODEL_EXCLUDED}
    statement = insert(Setting).values(**key, value=kept["value"])
    session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=kept))


def _prediction_view(session: Session) -> PredictionView:
    excluded = session.scalars(select(Setting.value).where(Setting.key == MODEL_EXCLUDED)).one_or_none()
    return PredictionView(
        in_use=find_model_in_use(session),
        excluded=excluded or [],
        pools_training_data=session.scalars(select(Organization.pools_training_data)).one(),
    )
