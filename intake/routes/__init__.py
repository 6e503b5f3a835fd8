"""One module per resource."""

from intake.routes import campaigns, dead_letters, events, health, jobs, leads, schedules, social, usage

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
)
