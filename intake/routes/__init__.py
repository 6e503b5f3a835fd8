"""One module per resource."""

from intake.routes import (
    alerts,
    analytics,
    campaigns,
    content,
    dead_letters,
    events,
    health,
    jobs,
    leads,
    reports,
    schedules,
    scoring,
    social,
    social_accounts,
    usage,
    webhooks,
)

ROUTERS = (
    health.router,
    jobs.router,
    dead_letters.router,
    schedules.router,
    leads.router,
    scoring.router,
    events.router,
    analytics.router,
    social_accounts.router,
    social.router,
    content.router,
    campaigns.router,
    usage.router,
    reports.router,
    alerts.router,
    webhooks.router,
)
