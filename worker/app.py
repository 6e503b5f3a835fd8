"""The Celery app: stock Celery on the fair-share transport."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

from config.celery import celery_settings
from config.logging import configure_logging
from config.settings import ROOT, get_settings
from worker import freeze  # noqa: F401 - it connects itself to a signal
from worker.fairshare import transport
from worker.shutdown import Deadline
from worker.timers import ForgetTimers

transport.register()

# What Flower reads when it starts from wherever: without it, everybody could see and stop everything.
os.environ.setdefault("FLOWER_CONF", str(ROOT / "ops" / "flower" / "flowerconfig.py"))

app = Celery(
    "genius",
    include=[
        "tasks.social_posting.job",
        "tasks.social_posting.afterwards",
        "tasks.lead_scoring",
        "tasks.analytics_rollups",
        "tasks.quota_accounting",
        "tasks.reporting",
        "tasks.alerting",
        "tasks.upkeep",
        "tasks.recurring",
        "tasks.privacy.export",
        "tasks.privacy.erase",
        "worker.metrics.serve",
        "worker.metrics.lanes",
    ],
)
# Read when first needed: whoever only looks at the catalogue of kinds needs no environment.
app.add_defaults(lambda: celery_settings(get_settings()))
app.steps["worker"].add(Deadline)
app.steps["worker"].add(ForgetTimers)


@setup_logging.connect
def _log_like_the_rest_of_us(**_: Any) -> None:
    configure_logging(get_settings())
