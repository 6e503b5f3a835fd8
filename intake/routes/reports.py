"""Reports: list, read in a format, have one produced, say how they look."""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import TypeAdapter

from intake.auth import Caller, allowed
from intake.body import body_of
from intake.look import read_look, write_look
from intake.openapi import READ, READ_ONE, WRITE, Responses, problems
from intake.paging import Cursor, CursorParameter, Limit, Page
from intake.problem import NotFoundError, ProblemError
from intake.routes.jobs import Accepted
from intake.submission import KeyHeader
from intake.views.branding import BrandingView
from intake.views.report import Place, ReportView, find_report, list_reports, show
from models.report import ReportGrain
from models.session import tenant_session
from models.user import Permission
from tasks.branding import Branding
from tasks.catalog import PRODUCE_REPORT
from tasks.report_payloads import ProduceReport
from worker.submit import Submission, submit

router = APIRouter(prefix="/api/v1/reports", tags=["reports"])

Viewer = Annotated[Caller, Depends(allowed(Permission.VIEW_ANALYTICS))]
Producer = Annotated[Caller, Depends(allowed(Permission.MANAGE_JOBS))]
Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_BRANDING))]


class Format(StrEnum):
    JSON = "json"
    CSV = "csv"
    HTML = "html"


MEDIA_TYPES = {
    "application/json": Format.JSON,
    "text/csv": Format.CSV,
    "text/html": Format.HTML,
}
COLUMNS = {Format.JSON: "document", Format.CSV: "csv", Format.HTML: "html"}
CONTENT: Responses = {
    200: {
        "description": "The report, in the format asked for.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/csv": {"schema": {"type": "string"}},
            "text/html": {"schema": {"type": "string"}},
        },
    }
}
LOCKED = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""A report shows texts that others wrote: were one not escaped, it still could do nothing."""

_produce, _produce_extra = body_of("ProduceReport", TypeAdapter(ProduceReport))
_branding, _branding_extra = body_of("Branding", TypeAdapter(Branding))
_places: Cursor[Place] = Cursor(TypeAdapter(Place))


@router.get("", responses=READ, summary="List reports, the latest period first")
def reports(
    request: Request,
    caller: Viewer,
    *,
    grain: ReportGrain | None = None,
    cursor: CursorParameter = None,
    limit: Limit = 50,
) -> Page[ReportView]:
    after = _places.read(cursor)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        rows = list_reports(session, grain=grain, after=after, limit=limit + 1)
    shown, following = _places.page(rows, limit, _place)
    return Page(items=[show(row) for row in shown], next_cursor=following)


def _place(row: Any) -> Place:
    return row.first_day, ReportGrain(row.grain), row.revision


@router.post(
    "",
    status_code=202,
    responses=WRITE | problems(409),
    openapi_extra=_produce_extra,
    summary="Have the report of a week or month produced",
    description="Answers the job; its result names the report. A period that is not over yet fails the job.",
)
def produce(
    request: Request,
    caller: Producer,
    body: Annotated[ProduceReport, _produce],
    response: Response,
    idempotency_key: KeyHeader = None,
) -> Accepted:
    [job] = submit(
        request.app.state.database,
        caller.tenant,
        [Submission(PRODUCE_REPORT, body, idempotency_key=idempotency_key)],
        publisher=request.app.state.publisher,
        requested_by=caller.user_uuid,
        request_id=request.state.request_id,
    )
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return Accepted.model_validate(job)


@router.get("/branding", responses=READ, deprecated=True, summary="How you look: now at /api/v1/branding")
def branding(request: Request, caller: Viewer) -> BrandingView:
    return read_look(request.app.state.database, caller)


@router.put(
    "/branding",
    responses=WRITE,
    openapi_extra=_branding_extra,
    deprecated=True,
    summary="Look like this: now at /api/v1/branding",
)
def brand(request: Request, caller: Manager, body: Annotated[Branding, _branding]) -> BrandingView:
    look = body.model_dump(mode="json", exclude_none=True)
    return write_look(request.app.state.database, caller, lambda _: look)


@router.delete(
    "/branding",
    status_code=204,
    responses=READ,
    deprecated=True,
    summary="Look as usual: now at /api/v1/branding",
)
def unbrand(request: Request, caller: Manager) -> None:
    write_look(request.app.state.database, caller, lambda _: {})


@router.get(
    "/{report_id}",
    responses=READ_ONE | problems(406) | CONTENT,
    response_class=Response,
    summary="One report as JSON, CSV or a page",
    description="`format` decides, or else `Accept`; JSON by default. The same bytes each time.",
)
def report(
    request: Request,
    caller: Viewer,
    report_id: UUID,
    *,
    form: Annotated[Format | None, Query(alias="format")] = None,
    accept: Annotated[str | None, Header(max_length=1_000)] = None,
) -> Response:
    chosen = form or _accepted(accept)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        row = find_report(session, report_id, COLUMNS[chosen])
    if row is None:
        raise NotFoundError("report")
    name = f"report-{row.grain}-{row.first_day}-{row.revision}.{chosen.value}"
    disposition = "attachment" if chosen is Format.CSV else "inline"
    media_type = next(media for media, form in MEDIA_TYPES.items() if form is chosen)
    headers = {
        "Content-Disposition": f'{disposition}; filename="{name}"',
        "Content-Security-Policy": LOCKED,
        "X-Content-Type-Options": "nosniff",
        "ETag": f'"{row.sha256.hex()}-{chosen.value}"',
        "Cache-Control": "no-store",
        "Vary": "Accept, Authorization",
    }
    return Response(row.content.encode(), media_type=media_type, headers=headers)


def _accepted(accept: str | None) -> Format:
    """Return the format that the caller likes best; JSON where it takes anything."""
    if accept is None:
        return Format.JSON
    likings: list[tuple[float, int, Format]] = []
    for place, part in enumerate(accept.split(",")):
        media, _, parameters = part.strip().partition(";")
        found = {"*/*": Format.JSON, "application/*": Format.JSON, "text/*": Format.HTML} | MEDIA_TYPES
        form = found.get(media.strip().lower())
        quality = _quality(parameters)
        if form is not None and quality > 0:
            likings.append((-quality, place, form))
    if not likings:
        wanted = ", ".join(MEDIA_TYPES)
        raise ProblemError(
            406, "not-acceptable", f"A report comes as {wanted}; or say format=json, csv or html."
        )
    return min(likings)[2]


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
