"""Tests over others' objects: recordings and samples of other projects, which lie in ../shared on some machines.

They add breadth and prove nothing new: 66 reports of a real Kyverno instead of 13, samples from the documentation of
other producers, and CRDs as their projects publish them. The same is asked of our own samples everywhere:

| here                          | of our own samples                                                                |
|-------------------------------|-----------------------------------------------------------------------------------|
| test_shared_objects.py        | tests/unit/findings/test_recorded_findings.py, tests/unit/sources/test_recorded.py |
|                               | and test_canonical.py                                                             |
| roll-up in the same module    | tests/unit/sync/test_recorded_rollup.py                                           |
| test_shared_cluster.py        | tests/integration/operator/test_operator_samples.py; `make e2e` has real CRDs     |

Where the folder is missing, these tests are not collected.
"""

from tests.integration.conftest import plane
from tests.integration.operator.conftest import home, hub, world
from tests.shared.recordings import DATA
from tests.unit.findings.conftest import objections

__all__ = ["home", "hub", "objections", "plane", "world"]

collect_ignore_glob = [] if DATA.is_dir() else ["test_*.py"]
