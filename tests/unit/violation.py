"""A plain violation; tests change its fields (`msgspec.structs.replace`)."""

from policyhub.model.violation import Subject, Violation

VIOLATION = Violation(
    source="kyverno",
    policy="p",
    rule="r",
    subject=Subject("apps", "Deployment", "shop", "cart"),
    discriminator="",
    result="fail",
    severity=None,
    category="",
    message="m",
)
