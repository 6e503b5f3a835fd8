"""One module per resource."""

from intake.routes import campaigns, events, health, jobs, leads, schedules, social, usage

ROUTERS = (
    health.router,
    jobs.router,
    schedules.router,
    leads.router,
    events.router,
    social.router,
    campaigns.router,
    usage.router,
)
