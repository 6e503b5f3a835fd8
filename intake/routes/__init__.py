"""One module per resource."""

from intake.routes import campaigns, events, health, jobs, leads, social, usage

ROUTERS = (
    health.router,
    jobs.router,
    leads.router,
    events.router,
    social.router,
    campaigns.router,
    usage.router,
)
