"""Every kind of job: name, payload, lane, gate and meter. No bodies, so that the intake can import it."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from models.user import Permission
from tasks.payloads import (
    AccountQuota,
    AnalyticsQuery,
    DeletePost,
    FetchMetrics,
    Nothing,
    PrivacyJob,
    PublishPost,
    Rollup,
    ScoreLeads,
    TrainModel,
)
from tasks.report_payloads import DeliverAlert, EvaluateAlerts, ProduceReport
from tasks.scoring_payloads import RescoreLeads, TryRules
from worker.context import Effects
from worker.job import JobKind, Lane

PUBLISH_POST = JobKind(
    name="social.publish_post",
    payload=PublishPost,
    lane=Lane.SOCIAL,
    effects=Effects.OUTSIDE,
    permission=Permission.MANAGE_SOCIAL,
    feature="basic_social",
    meter="posts_month",
    max_attempts=8,
    backoff=timedelta(seconds=5),
    time_limit=timedelta(minutes=2),
)

FETCH_METRICS = JobKind(
    name="social.fetch_metrics",
    payload=FetchMetrics,
    lane=Lane.SOCIAL,
    effects=Effects.OUTSIDE,
    permission=Permission.MANAGE_SOCIAL,
    feature="basic_social",
    backoff=timedelta(seconds=30),
    time_limit=timedelta(minutes=1),
)

DELETE_POST = JobKind(
    name="social.delete_post",
    payload=DeletePost,
    lane=Lane.SOCIAL,
    effects=Effects.OUTSIDE,
    permission=Permission.MANAGE_SOCIAL,
    max_attempts=10,
    backoff=timedelta(seconds=10),
    time_limit=timedelta(minutes=1),
)

SCORE_LEADS = JobKind(
    name="leads.score",
    payload=ScoreLeads,
    lane=Lane.SCORING,
    effects=Effects.DATABASE,
    permission=Permission.MANAGE_LEADS,
    meter="leads_scored_month",
    quantity=lambda payload: payload.most,
)

RESCORE_LEADS = JobKind(
    name="leads.rescore",
    payload=RescoreLeads,
    lane=Lane.SCORING,
    effects=Effects.DATABASE,
    permission=Permission.MANAGE_LEADS,
)
"""Records `leads.score` jobs, which reserve from the meter."""

TRY_RULES = JobKind(
    name="leads.try_rules",
    payload=TryRules,
    lane=Lane.SCORING,
    effects=Effects.DATABASE,
    permission=Permission.MANAGE_LEADS,
)

TRAIN_MODEL = JobKind(
    name="leads.train_model",
    payload=TrainModel,
    lane=Lane.SCORING,
    effects=Effects.OUTSIDE,
    permission=Permission.MANAGE_LEADS,
    feature="predictive_scoring",
    max_attempts=3,
    time_limit=timedelta(minutes=15),
)

ROLLUP = JobKind(
    name="analytics.rollup",
    payload=Rollup,
    lane=Lane.ANALYTICS,
    effects=Effects.DATABASE,
    permission=Permission.MANAGE_JOBS,
    feature="basic_analytics",
    time_limit=timedelta(minutes=30),
)

QUERY_ANALYTICS = JobKind(
    name="analytics.query",
    payload=AnalyticsQuery,
    lane=Lane.ANALYTICS,
    effects=Effects.DATABASE,
    permission=Permission.VIEW_ANALYTICS,
    feature="advanced_analytics",
    max_attempts=3,
)

ACCOUNT_QUOTA = JobKind(
    name="quota.account",
    payload=AccountQuota,
    lane=Lane.QUOTA,
    effects=Effects.DATABASE,
    permission=Permission.MANAGE_JOBS,
)

PRODUCE_REPORT = JobKind(
    name="reports.produce",
    payload=ProduceReport,
    lane=Lane.ANALYTICS,
    effects=Effects.DATABASE,
    permission=Permission.MANAGE_JOBS,
    feature="basic_analytics",
)

EVALUATE_ALERTS = JobKind(
    name="alerts.evaluate",
    payload=EvaluateAlerts,
    lane=Lane.SYSTEM,
    effects=Effects.DATABASE,
    permission=Permission.MANAGE_JOBS,
)

DELIVER_ALERT = JobKind(
    name="system.deliver_alert",
    payload=DeliverAlert,
    lane=Lane.SYSTEM,
    effects=Effects.OUTSIDE,
    permission=None,
    max_attempts=10,
    backoff=timedelta(seconds=30),
    time_limit=timedelta(minutes=1),
)

RELAY_TICK = JobKind(
    name="system.relay_tick",
    payload=Nothing,
    lane=Lane.SYSTEM,
    effects=Effects.OUTSIDE,
    permission=None,
    max_attempts=1,
    time_limit=timedelta(minutes=1),
)

RETENTION = JobKind(
    name="system.retention",
    payload=Nothing,
    lane=Lane.SYSTEM,
    effects=Effects.DATABASE,
    permission=None,
    time_limit=timedelta(minutes=30),
)

EXPORT_DATA = JobKind(
    name="system.export_data",
    payload=PrivacyJob,
    lane=Lane.SYSTEM,
    effects=Effects.OUTSIDE,
    permission=None,
    time_limit=timedelta(minutes=60),
)

ERASE_DATA = JobKind(
    name="system.erase_data",
    payload=PrivacyJob,
    lane=Lane.SYSTEM,
    effects=Effects.OUTSIDE,
    permission=None,
    max_attempts=20,
    backoff=timedelta(seconds=10),
    time_limit=timedelta(minutes=60),
)

CATALOG: Mapping[str, JobKind[Any]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            PUBLISH_POST,
            FETCH_METRICS,
            DELETE_POST,
            SCORE_LEADS,
            RESCORE_LEADS,
            TRY_RULES,
            TRAIN_MODEL,
            ROLLUP,
            QUERY_ANALYTICS,
            ACCOUNT_QUOTA,
            PRODUCE_REPORT,
            EVALUATE_ALERTS,
            DELIVER_ALERT,
            RELAY_TICK,
            RETENTION,
            EXPORT_DATA,
            ERASE_DATA,
        )
    }
)
"""Name to kind."""

TENANT_CATALOG: Mapping[str, JobKind[Any]] = MappingProxyType(
    {name: kind for name, kind in CATALOG.items() if kind.permission is not None}
)
"""The kinds a tenant may submit."""
