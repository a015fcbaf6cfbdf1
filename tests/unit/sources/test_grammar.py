"""What Kubernetes would take as an object, and what not."""

import pytest

from policyhub.model import grammar


@pytest.mark.parametrize(
    "name",
    [
        "web-7f9c",
        "system:kube-scheduler",
        "Owner_of.all",
        "a" * 253,
        "shop/web",
        "ünïcode",
        ".hidden",
        "arn:aws:x",
        "日本",
    ],
)
def test_names_that_are_some(name: str) -> None:
    """RBAC's are almost free; Trivy Compliance writes the namespace before the name."""
    assert grammar.is_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a b",
        " a",
        "a\n",
        "a\u00a0b",
        "50%",
        ".",
        "..",
        "a/b/c",
        "a" * 254,
        "a\u200bb",
        "a\u202eb",
        "a\x1b[0m",
        "\u3164",
        "\ud800",
    ],
)
def test_names_that_are_none(name: str) -> None:
    """They could read like something else, or like nothing."""
    assert not grammar.is_name(name)


@pytest.mark.parametrize(
    ("group", "kind", "taken"),
    [
        ("", "Pod", True),
        ("apps", "Deployment", True),
        ("", "", True),
        ("a" * 253, "K" * 63, True),
        ("a" * 254, "Pod", False),
        ("Apps", "Pod", False),
        ("a/b", "Pod", False),
        ("", "K" * 64, False),
        ("", "Pod web", False),
        ("", "9Pod", False),
        ("", "Pöd", False),
        ("", "Pod\n", False),
        ("apps\n", "Pod", False),
    ],
)
def test_groups_and_kinds(group: str, kind: str, *, taken: bool) -> None:
    """A DNS name; a letter, then letters and digits."""
    assert grammar.is_typed(group, kind) is taken


@pytest.mark.parametrize(
    ("namespace", "taken"),
    [
        ("", True),
        ("team-a", True),
        ("a" * 63, True),
        ("a" * 64, False),
        ("team.a", False),
        ("Team", False),
        ("a\n", False),
    ],
)
def test_namespaces(namespace: str, *, taken: bool) -> None:
    """A label of DNS."""
    assert grammar.is_namespace(namespace) is taken
