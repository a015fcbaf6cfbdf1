"""Maps each engine's values for a severity to the five ASFF labels. Pure: no I/O, no clock."""

from policyhub.model.violation import Severity

DEFAULT_SEVERITY: Severity = "MEDIUM"
"""For a result without one."""

# The enum of the report APIs, the ASFF labels themselves (a convention on Gatekeeper constraints), and the log levels
# that some constraint libraries use.
_SEVERITIES: dict[str, Severity] = {
    "critical": "CRITICAL",
    "high": "HIGH",
    "medium": "MEDIUM",
    "low": "LOW",
    "info": "INFORMATIONAL",
    "informational": "INFORMATIONAL",
    "error": "HIGH",
    "warning": "MEDIUM",
    "debug": "INFORMATIONAL",
}


def severity_of(text: str | None) -> Severity | None:
    """None for an unknown or missing value: the default applies."""
    if not text:
        return None
    return _SEVERITIES.get(text) or _SEVERITIES.get(text.strip().lower())
