"""Active findings of one cluster that Security Hub holds under another identity: another operator sends them, or they
were sent before the identity was changed. They are reported and stop nothing (docs/decisions/0020).

Two clusters are the same if their kube-system namespaces have the same uid. Only the first page with such findings is
used, so one call is usually enough. `policyhub.cluster.inventory` decides when to call.
"""

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from policyhub.cluster.conflict import UID
from policyhub.cluster.snapshot import Aliases
from policyhub.findings.asff import CLUSTER_UID
from policyhub.findings.identity import ROOT, prefix
from policyhub.securityhub.client import HubClient

_ID = re.compile(rf"{ROOT}([A-Za-z0-9.:/_-]{{1,253}})/[0-9a-f]{{32}}")
"""The id of one of our findings; the group is the identity."""


async def aliases(hub: HubClient, *, identity: str, uid: str) -> Aliases | None:
    """Active findings of this uid under other identities, from one page; None: there are none. Raises HubError."""
    if not UID.fullmatch(uid):
        return None
    filters = {
        "ProductFields": [{"Key": CLUSTER_UID, "Value": uid, "Comparison": "EQUALS"}],
        "Id": [{"Value": prefix(identity), "Comparison": "PREFIX_NOT_EQUALS"}],
        "RecordState": [{"Value": "ACTIVE", "Comparison": "EQUALS"}],
    }
    async with aclosing(hub.find(filters)) as pages:
        async for page in pages:  # the first page that has any
            found = Counter(
                name for finding in page.findings if (name := _alias(finding, uid=uid)) not in {"", identity}
            )
            if found:
                return Aliases(numbers=dict(found), more=bool(page.token))
    return None


def _alias(finding: Mapping[str, Any], *, uid: str) -> str:
    """The finding's identity, if it is an active finding of this uid: the filter is checked again. Otherwise empty."""
    named = _ID.fullmatch(str(finding.get("Id")))
    fields = finding.get("ProductFields")
    active = finding.get("RecordState") == "ACTIVE"
    own = isinstance(fields, Mapping) and fields.get(CLUSTER_UID) == uid
    return named[1] if named and active and own else ""
