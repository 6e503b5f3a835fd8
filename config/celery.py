"""Celery's own settings: lanes, acknowledgement, and what stock Celery does that ours must not."""

import ssl
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from config.settings import Settings

LANES = ("social", "scoring", "analytics", "quota", "system")
"""Every lane is one Celery queue with its own fair share among tenants."""

NEVER_GIVEN_UP = 2**31
"""Postgres counts attempts. A message also comes back because Postgres is away, for however many hours."""


def broker_url(settings: Settings) -> str:
    """Return the URL that selects the fair-share transport on the Redis of *settings*."""
    return urlunsplit(urlsplit(str(settings.redis_url))._replace(scheme="fair", query=""))


def broker_ssl(settings: Settings) -> dict[str, Any] | None:
    """Return how to encrypt: as the URL of Redis says in its query (``ssl_ca_certs``, ``ssl_certfile``)."""
    if settings.redis_url.scheme != "rediss":
        return None
    given = {name: value for name, value in settings.redis_url.query_params() if name.startswith("ssl_")}
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True} | given


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Return what the Celery app is configured with."""
    lease_ms = int(settings.lease_time.total_seconds() * 1000)
    timeout = settings.broker_timeout.total_seconds()
    return {
        "broker_url": broker_url(settings),
        "broker_use_ssl": broker_ssl(settings),
        "broker_transport_options": {
            "lease_ms": lease_ms,
            "socket_connect_timeout": timeout,
            "max_tries": NEVER_GIVEN_UP,
        },
        "broker_connection_retry_on_startup": True,
        # A worker that lost Redis for a night is still there in the morning.
        "broker_connection_max_retries": None,
        "task_queues": {lane: {"exchange": lane, "routing_key": lane} for lane in LANES},
        "task_default_queue": "system",
        "task_create_missing_queues": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        # The message goes when the attempt has ended; a killed worker's comes back.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # Postgres is the record; a result backend would be a second, weaker one.
        "task_ignore_result": True,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "beat_scheduler": "worker.scheduler:RelayScheduler",
        "beat_max_loop_interval": settings.relay_interval.total_seconds(),
        "timezone": "UTC",
    }
