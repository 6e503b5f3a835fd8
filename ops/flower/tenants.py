"""The page of all tenants, that of one, and what an operator may do to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import select
from tornado.web import HTTPError

from config.celery import LANES
from models.audit import AuditEntry
from models.history import list_jobs
from models.job import JobState
from models.organization import Tenant
from models.session import tenant_session
from ops import words
from ops.dead_letter_view import groups_of
from ops.directory import identity_of
from ops.flower.desk import Desk
from ops.flower.page import Page
from ops.lanes import TenantLine
from ops.tenant_state import state_of
from worker.fairshare.standing import Standing
from worker.publish import BrokerAwayError
from worker.terms import Change, change_organization, override, set_pause

PER_PAGE: Final = 50
JOBS_SHOWN: Final = 25
ENTRIES_SHOWN: Final = 10
LIGHTEST, HEAVIEST = 1, 1_000

ORDERS: Final[dict[str, tuple[str, Callable[[TenantLine], Any]]]] = {
    "backlog": ("waiting", lambda line: (line.backlog + line.in_flight, line.received or 0)),
    "oldest": ("oldest wait", lambda line: -(line.oldest.timestamp() if line.oldest else float("inf"))),
    "received": ("received", lambda line: line.received or 0),
    "over": ("over entitled", lambda line: (line.received or 0) - (line.entitled or 0)),
    "weight": ("weight", lambda line: line.weight),
}


@dataclass(frozen=True, slots=True)
class TenantRow:
    """One tenant of the page of all."""

    line: TenantLine
    name: str | None
    state: str

    @property
    def linked(self) -> bool:
        """Tell whether it is an organization, and not somebody else's use of the lanes."""
        return identity_of(self.line.tenant) is not None


class TenantsPage(Page):
    """Everybody with a place in a lane, who has most first."""

    async def get(self) -> None:
        """Show a page of them."""
        sight = self.desk.watch.sight
        order = self.get_argument("sort", "backlog")
        wanted = self.get_argument("q", "", escape=False)
        start = max(self.get_argument("from", 0, type=int), 0)
        found = self._found(order, wanted)
        shown = found[start : start + PER_PAGE]
        rows = await self.work(_rows, self.desk, shown)
        self.show(
            "tenants.html",
            tab="tenants",
            sight=sight,
            rows=rows,
            found=len(found),
            start=start,
            step=PER_PAGE,
            order=order,
            orders={name: title for name, (title, _) in ORDERS.items()},
            wanted=wanted,
            words=words,
        )

    def _found(self, order: str, wanted: str) -> Sequence[TenantLine]:
        if order not in ORDERS:
            raise HTTPError(400, f"Unknown order; there are {', '.join(ORDERS)}.")
        sight = self.desk.watch.sight
        lines = [] if sight is None else sight.lines
        if wanted:
            lines = [line for line in lines if self._matches(line, wanted.casefold())]
        return sorted(lines, key=ORDERS[order][1], reverse=True)

    def _matches(self, line: TenantLine, wanted: str) -> bool:
        name = self.desk.directory.name(line.tenant) or ""
        return wanted in line.tenant or wanted in name.casefold()


def _rows(desk: Desk, lines: Sequence[TenantLine]) -> list[TenantRow]:
    tenants = desk.directory.find_each(line.tenant for line in lines)
    found = ((line, tenants.get(line.tenant)) for line in lines)
    return [
        TenantRow(line, None if tenant is None else tenant.name, state_of(line, tenant))
        for line, tenant in found
    ]


@dataclass(frozen=True, slots=True)
class TenantSight:
    """One tenant: where it stands, what waits and died, and who changed it."""

    lanes: Sequence[Standing] | None
    """None: Redis is away."""
    running: Sequence[Any]
    waiting: Sequence[Any]
    dead: Sequence[Any]
    entries: Sequence[AuditEntry]


class TenantPage(Page):
    """One organization."""

    async def get(self, organization: str) -> None:
        """Show how it stands."""
        tenant = await self.tenant(organization)
        seen = await self.work(_look, self.desk, tenant)
        sight = self.desk.watch.sight
        lines = [] if sight is None else sight.lines
        name = str(tenant.organization_id)
        self.show(
            "tenant.html",
            tab="tenants",
            tenant=tenant,
            terms=tenant.terms,
            line=next((line for line in lines if line.tenant == name), None),
            seen=seen,
            told=TOLD.get(self.get_argument("told", ""), ""),
            count=self.get_argument("count", 0, type=int),
            now=datetime.now().astimezone(),
            words=words,
            heaviest=HEAVIEST,
        )


TOLD: Final = {
    "paused": "Paused: none of its jobs begin; those that run go on.",
    "resumed": "Resumed: its jobs begin again.",
    "weighed": "Its weight is changed, on the backlog it has.",
    "away": "It is recorded, but Redis is away: the relay brings the change when Redis is back.",
    "requeued": "Dead letters given another life:",
    "refused": "Its quota does not cover all of them. Dead letters given another life:",
}


def _look(desk: Desk, tenant: Tenant) -> TenantSight:
    try:
        lanes = desk.publisher.standings(tenant.organization_id, LANES)
    except BrokerAwayError:
        lanes = None
    columns = ("id", "kind", "lane", "state", "attempt", "created_at", "started_at", "run_at")
    with tenant_session(desk.database, tenant.organization_id) as session:
        running, waiting = (
            list_jobs(session, columns, state=state, kind=None, before=None, limit=JOBS_SHOWN)
            for state in (JobState.RUNNING, JobState.QUEUED)
        )
        newest = select(AuditEntry).order_by(AuditEntry.position.desc()).limit(ENTRIES_SHOWN)
        entries = session.scalars(newest).all()
    return TenantSight(lanes, running, waiting, groups_of(desk.database, tenant.organization_id), entries)


class Action(Page):
    """Something done to an organization in the name of who asks; the guard lets only operators come here."""

    async def change(self, organization: str, change: Change, told: str) -> None:
        """Make a change, and go back to the organization's page."""
        tenant = await self.tenant(organization)
        desk, actor = self.desk, self.person.actor
        try:
            changed = await self.work(
                change_organization,
                desk.database,
                desk.publisher,
                tenant.organization_id,
                change,
                actor=actor,
            )
        except ValidationError as error:
            raise HTTPError(400, f"Refused: {error.errors()[0]['msg']}.") from error
        self.back(tenant, told if changed.reached_queue else "away")

    def back(self, tenant: Tenant, told: str, count: int = 0) -> None:
        """Go back to the organization's page and say what was done."""
        place = self.reverse_url("tenant", str(tenant.organization_id))
        self.redirect(f"{place}?told={told}&count={count}", status=303)


class PauseAction(Action):
    async def post(self, organization: str) -> None:
        """Let none of its jobs begin."""
        await self.change(organization, set_pause(None, paused=True), "paused")


class ResumeAction(Action):
    async def post(self, organization: str) -> None:
        """Let its jobs begin again, of whatever kind."""
        drop = override({}, without=frozenset({"paused", "paused_kinds"}))
        await self.change(organization, drop, "resumed")


class WeightAction(Action):
    async def post(self, organization: str) -> None:
        """Give it another weight; an empty one is its plan's."""
        given = self.get_argument("weight", "", escape=False)
        if not given:
            await self.change(organization, override({}, without=frozenset({"weight"})), "weighed")
            return
        if not given.isascii() or not given.isdigit() or not LIGHTEST <= int(given) <= HEAVIEST:
            raise HTTPError(400, f"A weight is a whole number from {LIGHTEST} to {HEAVIEST}.")
        await self.change(organization, override({"weight": int(given)}), "weighed")
