"""Start processes in which laid faults strike."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ops.process import ChildProcess
from tests.support.service import Services


def faulty_process(
    services: Services, faults: Path, module: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> ChildProcess:
    """Start ``python -m MODULE ARGUMENTS``, which is back at once when a fault has killed it."""
    return services.module("tests.chaos.faulty", [str(faults), module, *arguments], environment)
