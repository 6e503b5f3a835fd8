"""One module per resource."""

from intake.routes import (
    alerts,
    campaigns,
    dead_letters,
    events,
    health,
    jobs,
    leads,
    reports,
    schedules,
    social,
    usage,
    webhooks,
)

ROUTERS = (
    health.router,
    jobs.router,
    dead_letters.router,
    schedules.router,
    leads.router,
    events.router,
    social.router,
    campaigns.router,
    usage.router,
    reports.router,
    alerts.router,
    webhooks.router,
)
