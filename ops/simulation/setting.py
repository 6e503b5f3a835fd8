"""Terms to try: ``ORG.weight=5``, ``ORG.cap=2``, ``ORG.soft_cap=none``, ``ORG.plan=enterprise``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from config.plans import PLANS, Plan, terms_of
from ops.error import OperatorError

PLAN = "plan"
TERMS = ("weight", "cap", "soft_cap")
UNLIMITED = "none"


class SettingError(OperatorError):
    """A setting makes no sense; carries its text."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"--set {text}: {reason}")
        self.text = text


@dataclass(frozen=True, slots=True)
class Setting:
    """One term of one organization."""

    organization: str
    name: str
    value: str
    text: str


def read_setting(text: str) -> Setting:
    """Read ``ORG.name=value``.

    Raises:
        SettingError: It is spelled in another way.
    """
    target, equals, value = text.partition("=")
    organization, dot, name = target.rpartition(".")
    if not (equals and dot and organization and value):
        raise SettingError(text, "write ORG.weight=5")
    if name not in {PLAN, *TERMS}:
        raise SettingError(text, f"there is no {name}; there are {', '.join((PLAN, *TERMS))}")
    if name == PLAN and value not in PLANS:
        raise SettingError(text, f"there is no plan {value}; there are {', '.join(PLANS)}")
    return Setting(organization, name, value, text)


def apply(terms: Mapping[str, Plan], settings: Iterable[Setting]) -> dict[str, Plan]:
    """Return *terms* with *settings*, in their order: a plan replaces all terms that were set before it.

    Raises:
        SettingError: It names an organization that is not in the workload, or a value that makes no sense.
    """
    changed = dict(terms)
    for setting in settings:
        if setting.organization not in changed:
            raise SettingError(setting.text, f"the workload holds no job of {setting.organization}")
        changed[setting.organization] = _changed(changed[setting.organization], setting)
    return changed


def _changed(terms: Plan, setting: Setting) -> Plan:
    if setting.name == PLAN:
        return PLANS[setting.value]
    overrides = {name: getattr(terms, name) for name in TERMS} | {setting.name: _value(setting)}
    try:
        return terms_of(terms.name, overrides)
    except ValidationError as error:
        raise SettingError(setting.text, error.errors()[0]["msg"]) from None


def _value(setting: Setting) -> Any:
    return None if setting.value == UNLIMITED and setting.name == "soft_cap" else setting.value
