"""Alerts: what a tenant is told of, once, and how it gets there."""

from tasks.alerting import deliver as deliver
from tasks.alerting import evaluate as evaluate
