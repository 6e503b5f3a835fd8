"""What an operator sees of one organization: its terms, and where it stands in each lane."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table

from config.plans import Plan
from models.organization import Tenant
from ops import words
from worker.fairshare.standing import Standing

LANE_HEADINGS = (
    "lane",
    "weight",
    "waiting",
    "delayed",
    "aside",
    "in flight",
    "oldest",
    "worker time",
    "place",
)


@dataclass(frozen=True, slots=True)
class TenantView:
    """One organization."""

    tenant: Tenant
    lanes: Sequence[Standing] | None
    """None: Redis is away."""
    at: datetime

    def document(self) -> dict[str, Any]:
        """Return everything as JSON holds it."""
        tenant = self.tenant
        return {
            "organization": str(tenant.organization_id),
            "name": tenant.name,
            "status": tenant.status,
            "plan": tenant.plan,
            "overrides": dict(tenant.plan_overrides),
            "terms": _terms(tenant.terms),
            "lanes": None if self.lanes is None else [self._lane(standing) for standing in self.lanes],
        }

    def rendered(self) -> RenderableType:
        """Return everything as a person reads it."""
        tenant, terms = self.tenant, Table.grid(padding=(0, 2))
        terms.add_row("status", tenant.status)
        terms.add_row("plan", tenant.plan)
        for name, value in _terms(tenant.terms).items():
            own = " (own)" if name in tenant.plan_overrides else ""
            terms.add_row(name.replace("_", " "), f"{_spelled(value)}{own}")
        if self.lanes is None:
            return Group(tenant.name, terms, "Redis is away: the lanes cannot be asked.")
        lanes = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for heading in LANE_HEADINGS:
            text = heading in {"lane", "place"}
            lanes.add_column(heading, no_wrap=True, justify="left" if text else "right")
        for standing in self.lanes:
            lanes.add_row(*self._cells(standing))
        return Group(tenant.name, terms, lanes)

    def _lane(self, standing: Standing) -> dict[str, Any]:
        return {
            "lane": standing.lane,
            "known": standing.known,
            "weight": standing.weight,
            "waiting": standing.waiting,
            "delayed": standing.delayed,
            "put_aside": standing.set_aside,
            "in_flight": standing.in_flight,
            "oldest_age_s": self._age(standing),
            "worker_time_s": standing.used.total_seconds(),
            "paused": standing.paused,
            "paused_kinds": sorted(standing.paused_kinds),
            "place": standing.place,
        }

    def _cells(self, standing: Standing) -> tuple[str, ...]:
        if not standing.known:
            return (standing.lane, *["-"] * (len(LANE_HEADINGS) - 1))
        age = self._age(standing)
        return (
            standing.lane,
            f"{standing.weight:g}",
            *(str(count) for count in (standing.waiting, standing.delayed, standing.set_aside)),
            str(standing.in_flight),
            words.span(age),
            words.span(standing.used),
            _place(standing),
        )

    def _age(self, standing: Standing) -> float | None:
        return None if standing.oldest is None else max((self.at - standing.oldest).total_seconds(), 0.0)


def view(tenant: Tenant, lanes: Sequence[Standing] | None) -> TenantView:
    """Return the organization as it is seen now."""
    return TenantView(tenant, lanes, datetime.now(UTC))


def _terms(terms: Plan) -> dict[str, Any]:
    return {
        "weight": terms.weight,
        "cap": terms.cap,
        "soft_cap": terms.soft_cap,
        "max_backlog": terms.max_backlog,
        "features": sorted(terms.features),
        "limits": {meter: limit.amount for meter, limit in sorted(terms.limits.items())},
        "paused": terms.paused,
        "paused_kinds": sorted(terms.paused_kinds),
    }


def _spelled(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{name} {amount:,}" for name, amount in value.items()) or "none"
        case list():
            return ", ".join(value) or "none"
        case _:
            return f"{value:,}"


def _place(standing: Standing) -> str:
    if standing.paused:
        return "paused"
    kinds = f"{', '.join(sorted(standing.paused_kinds))} paused" if standing.paused_kinds else ""
    return " ".join(part for part in (standing.place, kinds) if part)
