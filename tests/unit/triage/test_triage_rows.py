"""`policyhub triage`: the content of a line, the selection and order of findings, and the formats."""

import csv
import io
import json
from typing import Any

import pytest

from policyhub.clock import WallMs
from policyhub.findings.asff import timestamp
from policyhub.triage.output import table, to_csv, to_json
from policyhub.triage.row import DAY_MS, Filter, Row, ordered, row, summary

NOW = WallMs(1_790_000_000_000)
SLA = {"HIGH": 30, "CRITICAL": 7}


def finding(
    *, days: int = 10, status: str = "NEW", severity: str = "HIGH", name: str = "web", **more: Any
) -> dict[str, Any]:
    other = {"Kind": "Deployment", "Namespace": "shop", "Name": name}
    return {
        "Id": f"policyhub/alpha/{name}",
        "CreatedAt": timestamp(NOW - days * DAY_MS),
        "Title": f"p: Deployment shop/{name}",
        "Severity": {"Label": severity},
        "Workflow": {"Status": status},
        "ProductFields": {"policyhub/source": "kyverno", "policyhub/policy": "p", "policyhub/rule": "r"},
        "Resources": [{"Details": {"Other": other}}],
        **more,
    }


def made(**more: Any) -> Row:
    return row(finding(**more), cluster="alpha", sla_days=SLA, now=NOW)


def test_a_finding_becomes_a_line() -> None:
    """A line has the object, the triage, the age and the deadline."""
    one = made(days=40)
    assert (one.cluster, one.severity, one.status, one.age_days, one.sla_days) == ("alpha", "HIGH", "NEW", 40.0, 30)
    assert (one.source, one.policy, one.rule) == ("kyverno", "p", "r")
    assert (one.kind, one.namespace, one.name) == ("Deployment", "shop", "web")
    assert one.past_sla


@pytest.mark.parametrize(
    ("more", "past"),
    [
        ({"days": 30}, False),
        ({"days": 31}, True),
        ({"days": 31, "status": "SUPPRESSED"}, False),
        ({"days": 31, "status": "RESOLVED"}, True),
        ({"days": 8, "severity": "CRITICAL"}, True),
        ({"days": 900, "severity": "LOW"}, False),
    ],
    ids=["just within", "over", "suppressed", "resolved and still there", "another severity", "no deadline"],
)
def test_past_its_sla(more: dict[str, Any], *, past: bool) -> None:
    """Older than its severity's days, unless it is suppressed or has no deadline."""
    assert made(**more).past_sla is past


def test_an_incomplete_finding_is_a_line() -> None:
    """Fields that Security Hub omits are empty, and no deadline is past."""
    one = row({}, cluster="alpha", sla_days=SLA, now=NOW)
    assert (one.severity, one.status, one.name, one.past_sla) == ("", "", "", False)
    assert "alpha" in table([one])


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Filter(), {"a", "b", "c"}),
        (Filter(statuses=frozenset({"NOTIFIED"})), {"b"}),
        (Filter(severities=frozenset({"CRITICAL"})), {"c"}),
        (Filter(past_sla=True), {"a"}),
        (Filter(namespaces=frozenset({"bank"})), set()),
    ],
    ids=["all", "status", "severity", "past SLA", "namespace"],
)
def test_choices(selection: Filter, names: set[str]) -> None:
    """Each option narrows the list."""
    rows = [
        made(name="a", days=40),
        made(name="b", status="NOTIFIED"),
        made(name="c", severity="CRITICAL", days=1),
    ]
    assert {one.name for one in rows if selection.matches(one)} == names


def test_urgent_findings_come_first() -> None:
    """Overdue ones, then by severity, then the oldest."""
    rows = [
        made(name="fresh"),
        made(name="older", days=20),
        made(name="critical", severity="CRITICAL", days=1),
        made(name="overdue", days=31),
    ]
    assert [one.name for one in ordered(rows)] == ["overdue", "critical", "older", "fresh"]


def test_the_table_has_a_line_for_each_and_a_sum() -> None:
    """The table prints the deadline in words, and ends with a sum."""
    reported = table([made(days=40), made(name="x", status="SUPPRESSED")]).splitlines()
    assert reported[0].split() == ["CLUSTER", "SEVERITY", "STATUS", "AGE", "SLA", "SOURCE", "POLICY", "OBJECT"]
    assert reported[1].split() == [
        "alpha",
        "HIGH",
        "NEW",
        "40d",
        "30d",
        "past",
        "kyverno",
        "p/r",
        "Deployment",
        "shop/web",
    ]
    assert reported[2].split()[2:5] == ["SUPPRESSED", "10d", "-"]
    assert reported[3] == "2 findings: 1 NEW, 1 SUPPRESSED; 1 past their SLA"
    assert table([]) == "0 findings; 0 past their SLA\n"
    assert summary([made()]) == "1 finding: 1 NEW; 0 past their SLA"


def test_names_cannot_write_to_the_terminal() -> None:
    """Control characters in a name are escaped, so that no line forges another."""
    assert "\x1b" not in table([made(name="a\x1b[2J\nb")])
    assert len(table([made(name="a\nb")]).splitlines()) == 3


def test_json_and_csv_hold_the_same() -> None:
    """Both formats have every member."""
    rows = [made(days=40, name='quo"te, and comma'), made(severity="LOW")]
    from_json = json.loads(to_json(rows))
    from_csv = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert [one["name"] for one in from_json] == [one["name"] for one in from_csv] == ['quo"te, and comma', "web"]
    assert from_json[0]["past_sla"] is True
    assert from_csv[0]["past_sla"] == "True"
    assert from_json[1]["sla_days"] is None
    assert from_csv[1]["sla_days"] == ""


def test_csv_contains_no_formula() -> None:
    """A name that a spreadsheet would execute is text."""
    (one,) = csv.DictReader(io.StringIO(to_csv([made(name="=cmd()")])))
    assert one["name"] == "'=cmd()"


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\uff1dHYPERLINK()", " =1", "\t=1", "\u200b=1", "\r\n=1"])
def test_no_name_is_a_formula(name: str) -> None:
    """Whatever precedes it that a spreadsheet would ignore."""
    (cell,) = (line["name"] for line in csv.DictReader(io.StringIO(to_csv([made(name=name)]))))
    assert cell.startswith("'")


@pytest.mark.parametrize("name", ["a;=1+1;b", "a|-1"])
def test_no_part_of_a_name_is_a_formula(name: str) -> None:
    """Even if a spreadsheet splits cells at another separator than the comma."""
    (cell,) = (line["name"] for line in csv.DictReader(io.StringIO(to_csv([made(name=name)]))))
    assert cell == f"{name[:2]}'{name[2:]}"


@pytest.mark.parametrize("text", ["\x1b[2J", "\x9b31m", "\u202e", "\u200b", "\U000e0041", "\r", "\n"])
def test_output_is_printable(text: str) -> None:
    """Whatever a finding's members contain."""
    fields = {f"policyhub/{key}": f"a{text}b" for key in ("source", "policy", "rule")}
    one = made(name=f"a{text}b", ProductFields=fields, Title=f"a{text}b", status=f"NEW{text}", Id=f"a{text}b")
    assert text not in table([one]).removesuffix("\n").replace("\n", "", 1 + (text == "\n"))
    assert text not in to_json([one]).replace("\n", "" if text == "\n" else "\n")


@pytest.mark.parametrize("odd", [None, 1, "x", [], [None], ["x"], {"a": 1}])
def test_a_malformed_finding_is_a_line(odd: Any) -> None:
    """Anybody with import permission can write anything that the API accepts."""
    shaped = dict.fromkeys(("Severity", "Workflow", "ProductFields", "Resources", "CreatedAt", "Title", "Id"), odd)
    assert table([row(shaped, cluster="alpha", sla_days=SLA, now=NOW)]).startswith("CLUSTER")
