"""The Celery app: stock Celery on the fair-share transport."""

from typing import Any

from celery import Celery
from celery.signals import setup_logging

from config.celery import celery_settings
from config.logging import configure_logging
from config.settings import get_settings
from worker import freeze  # noqa: F401 - it connects itself to a signal
from worker.fairshare import transport
from worker.shutdown import Deadline

transport.register()

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
        "worker.metrics.serve",
        "worker.metrics.lanes",
    ],
)
# Read when first needed: whoever only looks at the catalogue of kinds needs no environment.
app.add_defaults(lambda: celery_settings(get_settings()))
app.steps["worker"].add(Deadline)


@setup_logging.connect
def _log_like_the_rest_of_us(**_: Any) -> None:
    configure_logging(get_settings())
