"""The rules over the routes: each names its caller; one that changes something, the permission it needs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import getclosurevars
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from intake.auth import admit, allowed, authenticate
from ops.isolation.finding import Finding

READS = frozenset({"GET", "HEAD", "OPTIONS"})

OPEN_TO_ALL = {
    "GET /openapi.json": "The contract of the API, the same for everybody.",
    "GET /healthz": "Asked by whoever runs the process; says that it lives.",
    "GET /readyz": "Asked by whoever runs the process; names no organization.",
    "GET /media/{organization_id}/{asset_id}/{expires_at}/{signature}": (
        "Fetched by social networks; the path is signed for one file of one organization, for a while."
    ),
    "GET /api/v1/branding/by-domain/{domain}": (
        "Whose login page this is: name, colours and logo for whoever sees the page anyway."
    ),
    "GET /metrics": "Scraped inside the cluster; counts the platform's work, not a tenant's.",
}
"""Routes without a caller, and why."""

DECIDED_INSIDE = {
    "POST /api/v1/jobs": "Each kind of job has a permission of its own, which submission asks for.",
    "POST /api/v1/jobs/batch": "As for one job.",
    "POST /api/v1/schedules": "Needs the permission of the kind that it fires.",
    "PATCH /api/v1/schedules/{item_id}": "As for making one.",
    "DELETE /api/v1/schedules/{item_id}": "As for making one.",
    "POST /api/v1/schedules/{item_id}/restore": "As for making one.",
    "POST /api/v1/schedules/{item_id}/pause": "As for making one.",
    "POST /api/v1/schedules/{item_id}/resume": "As for making one.",
    "POST /api/v1/schedules/{item_id}/run": "As for making one.",
    "POST /api/v1/schedules/{item_id}/backfill": "As for making one.",
    "POST /api/v1/analytics/events": "Every member of an organization may record what its visitors did.",
    "PATCH /api/v1/scoring/model": "Asks for manage_leads after the plan's feature: `PredictionManager`.",
    "POST /api/v1/scoring/model/versions/{version}/retire": "As for changing the model.",
    "POST /api/v1/users/me/accept": "Whoever was invited accepts for themselves.",
}
"""Routes that change something, name no permission among their dependencies, and why that is right."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path, and what FastAPI runs before it."""

    name: str
    method: str
    calls: tuple[Callable[..., Any], ...]

    @property
    def is_tenants(self) -> bool:
        """Tell whether it runs for an organization that a token names and that is active now."""
        return authenticate in self.calls

    @property
    def permissions(self) -> frozenset[str]:
        """The permissions that its dependencies ask for."""
        marker = allowed.__code__.co_consts
        asked = [call for call in self.calls if getattr(call, "__code__", None) in marker]
        return frozenset(getclosurevars(call).nonlocals["permission"] for call in asked)


def routes_of(app: FastAPI) -> Iterator[Route]:
    """Yield every route, those of included routers, too."""
    for context in iter_route_contexts(app.routes):
        route: Any = context
        dependant: Dependant | None = getattr(route, "dependant", None)
        calls = tuple(_calls(dependant)) if dependant is not None else ()
        for method in sorted(route.methods or ()):
            if method != "HEAD":
                yield Route(f"{method} {route.path}", method, calls)


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for dependency in dependant.dependencies:
        if dependency.call is not None:
            yield dependency.call
        yield from _calls(dependency)


def audit_routes(app: FastAPI) -> list[Finding]:
    """Return the routes by which somebody without a right could act, and exceptions that name no route."""
    found = list(routes_of(app))
    return [finding for route in found for finding in _audit(route)] + _stale({route.name for route in found})


def _audit(route: Route) -> Iterator[Finding]:
    if not route.is_tenants:
        if route.name not in OPEN_TO_ALL:
            yield Finding(
                "route-caller",
                route.name,
                "anybody may call it, for no organization",
                "Take `caller: AnyCaller`, or give it a reason in OPEN_TO_ALL (routes.py).",
            )
        return
    if admit not in route.calls:
        yield Finding(
            "route-limit", route.name, "its calls are not counted", "Depend on `admit` or `allowed(...)`."
        )
    if route.method not in READS and not route.permissions and route.name not in DECIDED_INSIDE:
        yield Finding(
            "route-permission",
            route.name,
            "every member may do it, whatever their role",
            "Depend on `allowed(<permission>)`, or give it a reason in DECIDED_INSIDE (routes.py).",
        )


def _stale(names: set[str]) -> list[Finding]:
    return [
        Finding("route-exception", name, "there is no such route", "Remove it from ops/isolation/routes.py.")
        for name in sorted((OPEN_TO_ALL.keys() | DECIDED_INSIDE.keys()) - names)
    ]
