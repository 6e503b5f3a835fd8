"""Alerts, and the log of their deliveries: both are made by jobs, and only read here."""

from uuid import UUID

from fastapi import APIRouter
from sqlalchemy import or_

from intake.resource.declaration import Filter, Resource, equals
from intake.resource.router import routes_of
from intake.views.alert import AlertView, DeliveryDetail, DeliveryView
from models.alert import Alert, AlertCondition, AlertDelivery, DeliveryState
from models.user import Permission

ALERTS = Resource(
    name="alert",
    path="/alerts",
    table=Alert,
    view=AlertView,
    manage=Permission.MANAGE_JOBS,
    read=Permission.VIEW_JOBS,
    removable=False,
    filters={
        "condition": equals(Alert.condition, AlertCondition),
        "open": Filter(
            bool,
            lambda holds: Alert.resolved_at.is_(None) if holds else Alert.resolved_at.is_not(None),
            "Whether the condition holds.",
        ),
    },
    sorts=("raised_at",),
)
DELIVERIES = Resource(
    name="delivery",
    path="/alerts/deliveries",
    table=AlertDelivery,
    view=DeliveryDetail,
    listed=DeliveryView,
    manage=Permission.MANAGE_JOBS,
    read=Permission.VIEW_JOBS,
    removable=False,
    filters={
        "state": equals(AlertDelivery.state, DeliveryState),
        "alert_id": equals(AlertDelivery.alert_id, UUID),
        "receiver_id": Filter(
            UUID,
            lambda to: or_(AlertDelivery.endpoint_id == to, AlertDelivery.recipient_id == to),
            "A webhook endpoint or e-mail recipient.",
        ),
    },
)

router = APIRouter()
router.include_router(routes_of(DELIVERIES))  # first: its path reads as an alert's too
router.include_router(routes_of(ALERTS))
