"""SLA: how many days a violation may stay, by severity, in the operator's settings and in each MonitoredCluster.

Pure: no I/O, no clock.
"""

from typing import Annotated

from pydantic import Field

from policyhub.api.model import Model

Days = Annotated[int, Field(ge=0, le=3650)]


class SlaDays(Model):
    """Days after which a violation of each severity is past its SLA. 0: no deadline."""

    critical: Days | None = None
    """Days for violations of severity CRITICAL."""
    high: Days | None = None
    """Days for violations of severity HIGH."""
    medium: Days | None = None
    """Days for violations of severity MEDIUM."""
    low: Days | None = None
    """Days for violations of severity LOW."""
    informational: Days | None = None
    """Days for violations of severity INFORMATIONAL."""

    def over(self, defaults: "SlaDays") -> dict[str, int]:
        """Severity label → days; own values take precedence over `defaults`. Without severities that have no SLA."""
        own, others = self.model_dump(), defaults.model_dump()
        days = {name: others[name] if own[name] is None else own[name] for name in own}
        return {name.upper(): number for name, number in days.items() if number}


def parse(value: object) -> object:
    """`critical=7,high=30` → the fields of SlaDays; anything but a string is returned unchanged, for pydantic to
    validate.
    """
    if not isinstance(value, str):
        return value
    days: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        name, mark, number = part.partition("=")
        if name not in SlaDays.model_fields or not mark:
            raise ValueError(f"{part!r} is not severity=days, such as critical=7,high=30")
        days[name] = number
    return days


def render(days: SlaDays) -> str:
    """The text that `parse` reads back."""
    return ",".join(f"{name}={number}" for name, number in days.model_dump().items() if number is not None)
