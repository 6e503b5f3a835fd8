"""Kinds of job, plans and permissions."""

from pydantic import BaseModel

from config.plans import PLANS, Plan
from models.user import ROLE_PERMISSIONS, Permission, Role
from ops.reference.markdown import code, table
from tasks.catalog import CATALOG
from worker.job import JobKind

KINDS = """# Kinds of job

From `tasks/catalog.py`. Kinds without a permission are the platform's own: nobody submits them.

"""
PLANS_INTRODUCTION = """# Plans

From `config/plans.py`; an organization may have values of its own (`genius tenant`). Hard limits refuse what
would pass them, soft ones what would pass 110 %. What is not listed is unlimited.

"""
PERMISSIONS = """# Permissions

From `models/user.py`: what each role grants. A token may list permissions beside its role; an API key lists
its own.

"""


def kinds_page() -> str:
    """Return the page of kinds with their payloads."""
    rows = [
        (
            f"[`{kind.name}`](#{kind.name.replace('.', '')})",
            kind.lane.value,
            code(kind.permission),
            code(kind.feature),
            code(kind.meter),
            kind.max_attempts,
            f"{kind.time_limit.total_seconds():g} s",
            kind.effects.value,
        )
        for kind in CATALOG.values()
    ]
    headings = ["kind", "lane", "permission", "feature", "meter", "attempts", "time limit", "effects"]
    return KINDS + table(headings, rows) + "".join(_payload(kind) for kind in CATALOG.values())


def _payload(kind: JobKind[BaseModel]) -> str:
    told = (kind.payload.__doc__ or "").strip()
    rows = [
        (code(name), code(_type(field.annotation)), "" if field.is_required() else "optional")
        for name, field in kind.payload.model_fields.items()
    ]
    fields = table(["field", "type", ""], rows) if rows else "No fields.\n"
    return f"\n## {kind.name}\n\n{told}\n\n{fields}"


def _type(annotation: object) -> str:
    name = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    for noise in ("typing.", "datetime.", "uuid.", "tasks.payloads."):
        name = name.replace(noise, "")
    return name.split("[", 1)[-1].split(",")[0] if name.startswith("Annotated[") else name


def plans_page() -> str:
    """Return the page of plans."""
    plans = list(PLANS.values())
    rows = [(label, *(_shown(getattr(plan, name)) for plan in plans)) for name, label in TERMS.items()]
    meters = sorted({meter for plan in plans for meter in plan.limits})
    rows += [(f"`{meter}`", *(_limit(plan, meter) for plan in plans)) for meter in meters]
    return PLANS_INTRODUCTION + table(["", *(plan.name for plan in plans)], rows)


TERMS = {
    "weight": "weight",
    "cap": "jobs in flight per lane while others wait",
    "soft_cap": "jobs in flight per lane while slots are idle",
    "max_backlog": "jobs waiting per lane",
    "features": "features",
    "shortest_schedule": "shortest schedule",
    "history_days": "days of history",
    "event_days": "days of raw events",
    "rollup_days": "days of rollups",
}


def _shown(value: object) -> str:
    if isinstance(value, frozenset):
        return ", ".join(f"`{name}`" for name in sorted(value))
    return "any" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _limit(plan: Plan, meter: str) -> str:
    limit = plan.limits.get(meter)
    return "unlimited" if limit is None else f"{limit.amount:,} {'hard' if limit.hard else 'soft'}"


def permissions_page() -> str:
    """Return the page of permissions by role."""
    rows = [
        (code(permission), *("yes" if permission in ROLE_PERMISSIONS[role] else "" for role in Role))
        for permission in Permission
    ]
    return PERMISSIONS + table(["permission", *(role.value for role in Role)], rows)
