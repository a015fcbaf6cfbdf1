"""Switches for behaviour that AWS does not document: a client must work with each setting.

Each switch has two values; the first is the default.
"""

from typing import Literal

import msgspec


class Switches(msgspec.Struct, forbid_unknown_fields=True):
    ignored_update: Literal["counted", "uncounted"] = "counted"
    """An ignored import (UpdatedAt is not later): part of SuccessCount, or of no count."""
    omitted_fields: Literal["cleared", "kept"] = "cleared"
    """Optional members that an update omits: removed, or unchanged."""
    duplicate_ids: Literal["in_order", "refused"] = "in_order"
    """An Id twice in a batch: handled one after the other, or the later ones fail with InvalidInput."""
    suppressed_imports: Literal["applied", "ignored"] = "applied"
    """An import into a finding that a customer suppressed."""
    unfiltered_records: Literal["all", "active"] = "all"
    """What GetFindings returns when no filter names RecordState."""
    signing_time: Literal["ignored", "checked"] = "ignored"
    """A call that was signed more than five minutes before or after it arrives. AWS rejects it; tests that move the
    operator's clock need it accepted."""
    sts_region: Literal["any", "first"] = "any"
    """The Regions whose signatures STS accepts: all, as if each client called the STS of its Region; or only the
    server's first one, as the endpoint of AWS_ENDPOINT_URL_STS does."""
