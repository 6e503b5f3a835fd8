"""One module per resource."""

from intake.routes import health, jobs

ROUTERS = (health.router, jobs.router)
