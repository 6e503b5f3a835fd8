"""What is replayed: jobs that arrive, how long each runs, and the terms of their organizations."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.plans import Plan, terms_of
from models.organization import PlanName
from ops.error import OperatorError
from tasks.catalog import CATALOG

US_PER_MS = 1_000
OTHER_LANE = "other"
"""Where jobs of kinds that are not in the catalogue run."""


class WorkloadError(OperatorError):
    """A workload cannot be replayed; carries the line of its file that is wrong, from 1."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason if line is None else f"Line {line} of the workload: {reason}")
        self.line = line


@dataclass(frozen=True, slots=True)
class Arrival:
    """One job."""

    at_us: int
    """Since the workload began."""
    organization: str
    kind: str
    lane: str
    duration_us: int


@dataclass(frozen=True, slots=True)
class Workload:
    """Jobs in the order of their arrival, and what each organization may use."""

    arrivals: tuple[Arrival, ...]
    terms: Mapping[str, Plan]


class WorkloadLine(BaseModel):
    """One line of a workload file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at_ms: Annotated[float, Field(ge=0, le=10**11)]
    organization: Annotated[str, Field(min_length=1)]
    kind: Annotated[str, Field(min_length=1)]
    duration_ms: Annotated[float, Field(ge=0, le=10**9)]
    plan: PlanName | None = None
    """The organization's, on the first of its lines that names one."""

    def arrival(self) -> Arrival:
        """Return the job that the line tells of."""
        known = CATALOG.get(self.kind)
        return Arrival(
            at_us=round(self.at_ms * US_PER_MS),
            organization=self.organization,
            kind=self.kind,
            lane=known.lane.value if known else OTHER_LANE,
            duration_us=round(self.duration_ms * US_PER_MS),
        )


def read_workload(path: Path, *, plan: PlanName) -> Workload:
    """Read a file of JSON lines; an organization whose lines name no plan is on *plan*.

    Raises:
        WorkloadError: The file cannot be read, or a line of it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            lines = list(_lines(file))
    except (OSError, UnicodeDecodeError) as error:
        raise WorkloadError(f"{path} cannot be read: {error}") from None
    plans: dict[str, str] = {}
    for line in lines:
        if line.plan is not None:
            plans.setdefault(line.organization, line.plan)
    terms = {line.organization: terms_of(plans.get(line.organization, plan), {}) for line in lines}
    return workload((line.arrival() for line in lines), terms)


def workload(arrivals: Iterable[Arrival], terms: Mapping[str, Plan]) -> Workload:
    """Put jobs in the order of their arrival.

    Raises:
        WorkloadError: There is none.
    """
    ordered = tuple(sorted(arrivals, key=lambda arrival: arrival.at_us))
    if not ordered:
        raise WorkloadError("The workload holds no job.")
    return Workload(ordered, terms)


def _lines(file: Iterable[str]) -> Iterator[WorkloadLine]:
    for number, text in enumerate(file, start=1):
        if text.strip():
            try:
                yield WorkloadLine.model_validate_json(text)
            except ValidationError as error:
                first = error.errors()[0]
                field = ".".join(str(part) for part in first["loc"])
                raise WorkloadError(f"{field}: {first['msg']}".lstrip(": "), number) from None
