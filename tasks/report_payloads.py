"""What goes with the jobs of reports and alerts."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StrictBool

from tasks.payloads import Payload


class ProduceReport(Payload):
    """Produce the report of the week or month that holds `day` (default: the last one that has ended).

    A period has one report. With `again` its figures are read anew, and a second one is kept if they changed.
    """

    grain: Literal["week", "month"] = "week"
    day: Annotated[date, Field(ge=date(1990, 1, 1), le=date(2100, 1, 1))] | None = None
    again: StrictBool = False


class EvaluateAlerts(Payload):
    """Look whether anything has to be told: raise alerts, and resolve those whose condition has ended."""


class DeliverAlert(Payload):
    """Bring one recorded delivery to its receiver."""

    delivery_id: UUID
