"""White label: name, colours, logo, and domains of an organization's own."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import AfterValidator, Field, TypeAdapter
from sqlalchemy import Boolean, func, select
from sqlalchemy.orm import Session

from config.plans import CUSTOM_DOMAIN
from config.settings import Settings
from intake.address import admit_address
from intake.auth import AnyCaller, Caller, allowed
from intake.body import body_of
from intake.by_domain import find_look
from intake.domain_proof import Dns, DnsAwayError, is_proved, new_token, normal_domain
from intake.ingest.fields import Body
from intake.look import read_look, write_look
from intake.openapi import READ, READ_ONE, WRITE, problems
from intake.problem import ConflictError, NotFoundError
from intake.resource.declaration import Resource, Rules, Values
from intake.resource.etag import IfMatch, IfNoneMatch, answer
from intake.resource.repository import Repository, open_repository
from intake.resource.router import TAGGED, UNCHANGED, routes_of
from intake.views.branding import BrandingView, DomainView, PublicLookView
from models.branding import CustomDomain
from models.session import SEAL_LIFETIME, Database
from models.user import Permission
from tasks.branding import Branding
from tasks.payloads import Text

router = APIRouter(prefix="/api/v1/branding", tags=["branding"])

Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_BRANDING))]
MOST_DOMAINS = 20
LONGEST_NAME = 300
PUBLIC_FOR_S = 60
"""Shared caches keep a look so long, so it outlives what it shows by that."""

_branding, _branding_extra = body_of("Branding", TypeAdapter(Branding))


class DomainBody(Body):
    domain: Annotated[Text, Field(max_length=LONGEST_NAME), AfterValidator(normal_domain)]


class _DomainRules(Rules):
    def made(self, repository: Repository, values: Values) -> Values:
        """Give it a token of its own: it proves this organization's claim and no other's."""
        if repository.session.scalars(select(func.count()).select_from(CustomDomain)).one() >= MOST_DOMAINS:
            raise ConflictError("too-many", f"There are {MOST_DOMAINS} domains already; remove one first.")
        return values | {"token": new_token()}


DOMAINS = Resource(
    name="domain",
    path="/branding/domains",
    table=CustomDomain,
    view=DomainView,
    create=DomainBody,
    manage=Permission.MANAGE_BRANDING,
    feature=CUSTOM_DOMAIN,
    in_turn=True,
    rules=_DomainRules(),
)


@router.get("", response_model=BrandingView, responses=READ | TAGGED | UNCHANGED, summary="How you look")
def read(request: Request, caller: AnyCaller, if_none_match: IfNoneMatch = None) -> Response:
    return answer(read_look(request.app.state.database, caller), if_none_match=if_none_match)


@router.get(
    "/by-domain/{domain}",
    response_model=PublicLookView,
    responses=problems(404, 422, 429, 500, 503) | TAGGED | UNCHANGED,
    dependencies=[Depends(admit_address)],
    summary="Whose login page is this?",
)
def read_by_domain(
    request: Request,
    domain: Annotated[str, Path(max_length=LONGEST_NAME), AfterValidator(normal_domain)],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Needs no token. Only a domain that an active organization has proved has a look; any other is 404.

    It may be spelled as people do (case, a dot at the end, letters of any script), without a port.
    """
    state = request.app.state
    look = find_look(state.database, domain, region=state.settings.region)
    if look is None:
        raise NotFoundError("domain")
    cached = {"Cache-Control": f"public, max-age={PUBLIC_FOR_S}"}
    return answer(look, if_none_match=if_none_match, headers=cached)


@router.put(
    "",
    response_model=BrandingView,
    responses=WRITE | problems(412) | TAGGED,
    openapi_extra=_branding_extra,
    summary="Look like this, and as usual in what you leave out",
)
def put(
    request: Request, caller: Manager, body: Annotated[Branding, _branding], if_match: IfMatch = None
) -> Response:
    look = body.model_dump(mode="json", exclude_none=True)
    return answer(write_look(request.app.state.database, caller, lambda _: look, if_match=if_match))


@router.patch(
    "",
    response_model=BrandingView,
    responses=WRITE | problems(412) | TAGGED,
    openapi_extra=_branding_extra,
    summary="Change some of it; null takes back",
)
def change(
    request: Request, caller: Manager, body: Annotated[Branding, _branding], if_match: IfMatch = None
) -> Response:
    given = body.model_dump(mode="json", exclude_unset=True)
    return answer(
        write_look(request.app.state.database, caller, lambda kept: kept | given, if_match=if_match)
    )


@router.delete("", status_code=204, responses=READ | problems(412), summary="Look as usual")
def reset(request: Request, caller: Manager, if_match: IfMatch = None) -> None:
    write_look(request.app.state.database, caller, lambda _: {}, if_match=if_match)


@router.post(
    "/domains/{item_id}/verify",
    response_model=DomainView,
    responses=READ_ONE | problems(409) | TAGGED,
    summary="Look whether DNS shows the token",
)
def verify(request: Request, caller: Manager, item_id: UUID) -> Response:
    """A domain that was verified is so no more when DNS has ceased to show the token.

    Of several organizations the one that proved it last holds it; the others need a new token.
    """
    settings: Settings = request.app.state.settings
    with open_repository(request, caller, DOMAINS) as repository:
        found: Any = repository.find(item_id)
    try:
        proved = is_proved(found.domain, found.token, Dns(settings.dns_servers))
    except DnsAwayError:
        raise ConflictError(
            "dns-away", "DNS did not answer in time; nothing was changed. Try again."
        ) from None
    now = datetime.now(UTC)
    with open_repository(request, caller, DOMAINS) as repository:
        row: Any = repository.hold(item_id)
        verified_at = (row.verified_at or now) if proved else None
        shown = repository.write(item_id, {"verified_at": verified_at, "checked_at": now})
        holds = proved and _hold(request.app.state.database, caller, repository.session, row.domain)
    if not proved:
        raise ConflictError(
            "domain-unproven",
            f"The TXT record {found.record} does not say {found.token}; set it, wait for DNS, and try again.",
            record=found.record,
            value=found.token,
        )
    if not holds:
        raise ConflictError(
            "domain-held",
            "Another organization has proved this domain since you did. "
            "If it is yours again, remove it here, add it anew and set the new token.",
        )
    return answer(shown)


def _hold(database: Database, caller: Caller, session: Session, domain: str) -> bool:
    proof = database.sealer.prove_domain(caller.tenant.organization_id, domain, SEAL_LIFETIME)
    return session.scalars(select(func.app.hold_domain(*proof, type_=Boolean))).one()


domains = routes_of(DOMAINS)
