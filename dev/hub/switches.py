"""What AWS leaves unconfirmed, as switches: a client must be right under each setting.

Every switch is a choice of two words; the first is the default.
"""

from typing import Literal

import msgspec


class Switches(msgspec.Struct, forbid_unknown_fields=True):
    ignored_update: Literal["counted", "uncounted"] = "counted"
    """An import that is ignored (UpdatedAt not later): part of SuccessCount, or of neither count."""
    omitted_fields: Literal["cleared", "kept"] = "cleared"
    """Optional members that an update leaves out: gone, or as they were."""
    duplicate_ids: Literal["in_order", "refused"] = "in_order"
    """One Id twice in a batch: handled one after the other, or the later ones fail with InvalidInput."""
    suppressed_imports: Literal["applied", "ignored"] = "applied"
    """An import into a finding that a customer suppressed."""
    unfiltered_records: Literal["all", "active"] = "all"
    """What GetFindings returns when no filter names RecordState."""
    signing_time: Literal["ignored", "checked"] = "ignored"
    """A call that was signed more than five minutes before or after it arrives. AWS refuses it; the tests that move the
    operator's clock want the rest of AWS to be there all the same."""
    sts_region: Literal["any", "first"] = "any"
    """The Regions that STS takes signatures for: all, as if each asked the STS of its own Region; or the server's first
    one alone, as an endpoint does that AWS_ENDPOINT_URL_STS names."""
