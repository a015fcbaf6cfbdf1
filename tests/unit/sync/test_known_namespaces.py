"""Which namespaces exist, and since when the others are deleted."""

from collections.abc import Callable

import pytest

from policyhub.clock import SteadyMs
from policyhub.model.violation import ObjectRef
from policyhub.sync.known_namespaces import KnownNamespaces

NOW = SteadyMs(1_790_000_000_000)
LIVE, GONE, RELISTED = NOW, NOW + 1_000, NOW + 2_000
WEB = ObjectRef("apps", "v1", "Deployment", "shop", "web")
SHOP = ObjectRef("", "v1", "Namespace", "", "shop")
NODE = ObjectRef("", "v1", "Node", "", "shop")
LOOKALIKE = ObjectRef("example.com", "v1", "Namespace", "", "shop")


def seen(*names: str) -> KnownNamespaces:
    """Listed and watched."""
    made = KnownNamespaces()
    made.list(frozenset(names), now=LIVE)
    made.live(live=True, now=LIVE)
    return made


def unlisted() -> KnownNamespaces:
    made = KnownNamespaces()
    made.live(live=True, now=LIVE)
    made.remove("shop", now=GONE)
    return made


def unseen() -> KnownNamespaces:
    made = seen("shop", "bank")
    made.remove("shop", now=GONE)
    made.live(live=False, now=RELISTED)
    return made


def gone() -> KnownNamespaces:
    made = seen("shop", "bank")
    made.remove("shop", now=GONE)
    return made


def gone_and_relisted() -> KnownNamespaces:
    made = gone()
    made.list(frozenset({"bank"}), now=RELISTED)
    return made


def missed() -> KnownNamespaces:
    """The listing after an outage lacks it."""
    made = seen("shop", "bank")
    made.list(frozenset({"bank"}), now=RELISTED)
    return made


def missed_while_unseen() -> KnownNamespaces:
    made = seen("shop", "bank")
    made.live(live=False, now=GONE)
    made.list(frozenset({"bank"}), now=GONE)
    made.live(live=True, now=RELISTED)
    return made


def back() -> KnownNamespaces:
    made = gone()
    made.add("shop")
    return made


def back_by_listing() -> KnownNamespaces:
    made = gone()
    made.list(frozenset({"shop", "bank"}), now=RELISTED)
    return made


def gone_twice() -> KnownNamespaces:
    made = back_by_listing()
    made.list(frozenset({"bank"}), now=RELISTED + 5)
    return made


@pytest.mark.parametrize(
    ("state", "place", "since"),
    [
        pytest.param(lambda: seen("shop"), WEB, None, id="it is there"),
        pytest.param(lambda: seen("bank"), WEB, LIVE, id="it was never there: since they are seen"),
        pytest.param(lambda: seen("bank"), None, None, id="the object is not known"),
        pytest.param(KnownNamespaces, WEB, None, id="nothing is known"),
        pytest.param(unlisted, WEB, None, id="a deletion before the first listing"),
        pytest.param(unseen, WEB, None, id="they are not seen live"),
        pytest.param(gone, WEB, GONE, id="deleted"),
        pytest.param(gone, SHOP, GONE, id="deleted: the namespace itself"),
        pytest.param(gone, NODE, None, id="deleted: what has no namespace"),
        pytest.param(gone, LOOKALIKE, None, id="deleted: another API's Namespace has no namespace"),
        pytest.param(gone_and_relisted, WEB, GONE, id="deleted, then listed: when it was seen to go"),
        pytest.param(missed, WEB, RELISTED, id="a later listing lacks it: since that"),
        pytest.param(missed_while_unseen, WEB, RELISTED, id="it went while they were not seen: since they are"),
        pytest.param(back, WEB, None, id="it came back"),
        pytest.param(back_by_listing, WEB, None, id="a listing has it again"),
        pytest.param(gone_twice, WEB, RELISTED + 5, id="it went again: not since the first time"),
    ],
)
def test_since_when_a_namespace_is_deleted(
    state: Callable[[], KnownNamespaces], place: ObjectRef | None, since: SteadyMs | None
) -> None:
    """A missing namespace is deleted only if all are listed and watched."""
    assert state().deleted(place) == since


def test_which_input_is_a_change() -> None:
    """A namespace that comes or goes by a listing, an unknown namespace, and the change between live and not live."""
    made = KnownNamespaces()
    assert not made.add("shop")  # the first listing tells
    assert made.list(frozenset({"shop", "bank"}), now=NOW) == {"shop", "bank"}
    assert made.list(frozenset({"shop", "new"}), now=NOW) == {"bank", "new"}
    assert not made.add("shop")
    assert made.add("bank")
    assert not made.add("bank")
    assert made.live(live=True, now=NOW)
    assert not made.live(live=True, now=NOW + 5)
    assert made.live(live=False, now=NOW)
