"""Usage: what the organization has used of its plan."""

from fastapi import APIRouter, Request

from intake.auth import AnyCaller
from intake.openapi import READ
from intake.views.usage import UsageView, read_usage
from models.session import tenant_session

router = APIRouter(prefix="/api/v1/usage", tags=["usage"])


@router.get("", responses=READ, summary="What is used of the plan in the current period")
def usage(request: Request, caller: AnyCaller) -> UsageView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        return read_usage(session, caller.tenant, request.state.paces)
