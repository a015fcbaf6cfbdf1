"""The producers' samples as findings, and the generated parts of docs/findings.md.

`python -m tests.unit.findings.mapping --write` writes both anew; a test compares.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import yaml

from policyhub.clock import WallMs
from policyhub.findings import asff, compliance
from policyhub.findings.asff import Cluster, render
from policyhub.findings.digest import digest
from policyhub.findings.identity import finding_id
from policyhub.model import engines, severity
from policyhub.model.source_apis import SOURCE_APIS, SOURCE_GROUPS, plural_of
from policyhub.model.violation import ParsedReport, Result, Severity
from policyhub.sources import policy, problems, reader, results, wire
from policyhub.sources.risk import VERSION, rated

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "tests/data/producers"
PAGE = ROOT / "docs/findings.md"

ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu"
CLUSTER = Cluster(
    id=ARN,
    name="prod-eu",
    arn=ARN,
    uid="5b2d7f1c-0000-4000-8000-000000000000",
    account="111122223333",
    region="eu-west-1",
    partition="aws",
    product_arn="arn:aws:securityhub:eu-west-1:111122223333:product/111122223333/default",
)
NOW = 1_795_570_300

# The worked examples: a heading, the sample, the policy or control that the finding is of.
EXAMPLES = (
    ("Kyverno, one report for each object (from 1.11)", "kyverno-per-resource", "pods-are-restricted"),
    ("Kyverno, one report for each policy (1.8 to 1.10)", "kyverno-per-policy", "require-owner"),
    ("Kyverno's policies in CEL", "kyverno-cel", "no-latest-tag"),
    ("ValidatingAdmissionPolicy", "kyverno-admission-policies", "namespaces-have-owners"),
    ("Kubewarden", "kubewarden", "clusterwide-no-privileged-pods"),
    ("Gatekeeper", "gatekeeper", "HouseImages"),
    ("Trivy ConfigAudit", "trivy", "KSV012"),
    ("Trivy Vulnerability (excluded by default)", "trivy", "CVE-2099-0001"),
    ("Trivy Compliance", "trivy", "AVD-KSV-0012"),
    ("kube-bench", "kube-bench", "4.2.1"),
    ("Red Hat Advanced Cluster Management", "compliance", "open-cluster-management.certificates-are-fresh"),
    ("Falco (excluded by default)", "event-logs", "Shell in a container"),
)


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((SAMPLES / f"{name}.yaml").read_text("utf-8")))


def names() -> list[str]:
    return sorted(path.stem for path in SAMPLES.glob("*.yaml"))


def read(document: dict[str, Any]) -> ParsedReport:
    group = document["apiVersion"].partition("/")[0]
    resource = plural_of(group, document["kind"])
    return reader.read(group, resource, json.dumps(document).encode(), latest=NOW + 300)


def findings(parsed: ParsedReport, *, archived: bool = False) -> Iterator[dict[str, Any]]:
    notice = () if parsed.notice is None else ((parsed.notice, parsed.newest),)
    for unrated, observed in (*parsed.violations, *notice):
        violation = rated(unrated)
        first = (observed or parsed.created or NOW) * 1000
        yield render(
            violation,
            cluster=CLUSTER,
            finding_id=finding_id(ARN, violation.identity),
            digest=digest(violation),
            source_api=parsed.key.source_api,
            created_at=WallMs(first),
            observed_at=WallMs(NOW * 1000),
            updated_at=WallMs(NOW * 1000),
            archived=archived,
        )


def golden(name: str) -> str:
    """What a sample becomes, object by object, as the file beside it holds it."""
    parsed_reports = [read(document) for document in documents(name)]
    objects = [
        {
            "object": parsed.key.name,
            "complete": parsed.complete,
            "unlisted": parsed.unlisted,
            "problems": list(parsed.problems),
            "findings": list(findings(parsed)),
        }
        for parsed in parsed_reports
    ]
    return json.dumps(objects, indent=1, ensure_ascii=False) + "\n"


# -- docs/findings.md -------------------------------------------------------------------------------------------------


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _problems() -> list[tuple[str, str]]:
    return [
        (f"`{wire.MALFORMED_RESULT}`", "a result, or an entry of a constraint, whose names cannot be read: left out"),
        (f"`{wire.MALFORMED_MEMBER}`", "a descriptive member has the wrong type: left out; the result is used"),
        (f"`{problems.UNKNOWN_RESULT}`", "a result outside pass, skip, fail, warn, error: left out"),
        (f"`{problems.NO_POLICY}`", "a result with neither a policy nor a rule: left out"),
        (f"`{problems.FOREIGN_NAMESPACE}`", "a namespaced report names an object of another namespace: left out"),
        (f"`{problems.UNNAMED_OBJECT}`", "one of several objects of a result has no name: the others are used"),
        (
            f"`{problems.INVALID_OBJECT}`",
            (
                "an object whose kind, namespace or name is not valid in Kubernetes: the finding is about the report"
                " itself, as if it named none"
            ),
        ),
        (
            f"`{problems.TEXT_TOO_LONG}`",
            (
                "a source, policy, rule or discriminator of more than 1,024 characters: cut, with a hash of the whole;"
                " another text: cut"
            ),
        ),
        (
            f"`{problems.UNPRINTABLE_TEXT}`",
            (
                "a source, policy, rule or discriminator with invisible characters: they are removed, and a hash of"
                " the whole is added"
            ),
        ),
        (
            "`not-json`, `not-an-object`, `no-metadata`, `no-name`, `no-kind`",
            "the whole object cannot be read: its last readable version is kept",
        ),
    ]


_WORDINGS = {
    "pod-security": "reasons and fields of pod security sorted",
    "go-errors": "without the time of the call and its local port",
    "sets": "sets sorted",
    "processes": "without process ids and lines of `ps`",
    "times": "without times and counts",
}


def _producers() -> Iterator[tuple[str, str]]:
    for source, producer in engines.PRODUCERS.items():
        parts = [f"`{key}` sorted" for key in sorted(producer.sets)]
        parts += [f"`N{producer.numbered}` sorted"] if producer.numbered else []
        for key, document in producer.documents.items():
            without = ", ".join(f"`{member}`" for member in sorted(document.ignored))
            parts.append(f"`{key}` as JSON{f' without {without}' if without else ''}")
        parts += [f"without `{key}`" for key in sorted(producer.ignored)]
        parts += [f"`{key}` of {value} is none" for key, value in producer.unset.items()]
        if producer.wording:
            texts = ", ".join(["message", *(f"`{key}`" for key in sorted(producer.worded))])
            parts.append(f"{texts}: {', '.join(_WORDINGS[wording] for wording in producer.wording)}")
        if parts:
            yield f"`{source}`", "; ".join(parts)


def _severities() -> list[tuple[str, str]]:
    spellings: dict[Severity, list[str]] = {label: [] for label in get_args(Severity)}
    for word, label in severity._SEVERITIES.items():
        spellings[label].append(f"`{word}`")
    return [(label, ", ".join(texts)) for label, texts in spellings.items()]


def _risks() -> str:
    """Whose policies have which rank, as risk.toml spells them."""
    document = tomllib.loads((ROOT / "operator/policyhub/sources/risk.toml").read_text("utf-8"))
    listed = [
        (", ".join(f"`{source}`" for source in ranks["sources"]), level, ", ".join(f"`{one}`" for one in ranks[level]))
        for ranks in document.values()
        if isinstance(ranks, dict)
        for level in ("HIGH", "MEDIUM", "LOW")
        if ranks[level]
    ]
    return f"Version {VERSION}.\n\n" + table(("source", "severity", "policies, or controls"), listed)


def _members() -> list[tuple[str, str]]:
    """Whatever member any sample's finding has, with an example."""
    seen: dict[str, str] = {}
    for name in names():
        for document in documents(name):
            for finding in findings(read(document)):
                for key, value in finding.items():
                    seen.setdefault(key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return [(f"`{key}`", f"`{value[:100]}{'…' if len(value) > 100 else ''}`") for key, value in sorted(seen.items())]


def _example(sample: str, control: str) -> str:
    for document in documents(sample):
        for finding in findings(read(document)):
            if finding["Compliance"].get("SecurityControlId") == control:
                source = {**document, "results": [_result(document, finding)]} if "results" in document else document
                source_text = yaml.safe_dump(_plain(source), sort_keys=False, width=110, allow_unicode=True)
                sent = json.dumps(finding, indent=2, ensure_ascii=False)
                return f"```yaml\n{source_text}```\n\nbecomes\n\n```json\n{sent}\n```"
    raise LookupError(f"no finding of {control} in {sample}")


def _result(document: dict[str, Any], finding: dict[str, Any]) -> dict[str, Any]:
    """The one that the finding is of."""
    for result in document["results"]:
        alone = {**document, "results": [result]}
        if any(one["Id"] == finding["Id"] for one in findings(read(alone))):
            found: dict[str, Any] = result
            return found
    raise LookupError(finding["Id"])


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "summary"}


def blocks() -> dict[str, str]:
    ours = {"truncated": "no result: a truncated list"}
    statuses: list[tuple[str, str]] = [
        (ours.get(word, f"`{word}`"), f"`{compliance.STATUS[word]}`") for word in get_args(Result)
    ]
    return {
        "status": table(
            ("result", "Compliance.Status"), [*statuses, ("`pass`, `skip`", "no finding; resolves an existing one")]
        ),
        "severity": table(("FindingProviderFields.Severity.Label", "from"), _severities()),
        "types": table(
            ("source", "FindingProviderFields.Types"),
            [
                *((f"`{source}`", kind) for source, kind in compliance.TYPES.items()),
                ("every other", f"{compliance.POLICIES}/<source>"),
            ],
        ),
        "standards": table(
            ("key", "spelt in requirements"),
            [(f"`…/{key}-control`", name) for key, name in compliance.STANDARDS.items()],
        ),
        "discriminators": table(
            ("source", "property"), [(f"`{source}`", f"`{key}`") for source, key in results.DISCRIMINATORS.items()]
        ),
        "risk": _risks(),
        "producers": table(("source", "read without, or in alphabetical order"), list(_producers())),
        "severity-keys": ", ".join(f"`{key}`" for key in policy.SEVERITY_KEYS),
        "volatile": ", ".join(f"`{key}`" for key in sorted(results.VOLATILE)),
        "problems": table(("reason", "meaning"), _problems()),
        "members": table(("member", "for example"), _members()),
        "renderer": f"The renderer's version is {asff.RENDERER}.",
        "examples": "\n\n".join(f"### {heading}\n\n{_example(*about)}" for heading, *about in EXAMPLES),
    }


_BLOCK = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def page(text: str) -> str:
    """The text with its generated parts as the code has them. Raises KeyError for a part that is none."""
    made = blocks()
    return _BLOCK.sub(lambda found: f"{found[1]}{made[found['name']]}\n{found[3]}", text)


def placed(text: str) -> set[str]:
    return {found["name"] for found in _BLOCK.finditer(text)}


def resaid(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same report through each other API."""
    own = SOURCE_GROUPS[document["apiVersion"].partition("/")[0]]
    namespaced = next(kind.namespaced for kind in own.kinds if kind.kind == document["kind"])
    for api in SOURCE_APIS:
        if api.shape is own.shape and api != own:
            kind = next(kind.kind for kind in api.kinds if kind.namespaced == namespaced)
            yield {**document, "apiVersion": f"{api.group}/{api.versions[0]}", "kind": kind}


def essence(parsed: ParsedReport) -> list[tuple[str, str]]:
    """Ids and digests: what decides whether there is anything to send."""
    return [(finding_id(ARN, violation.identity), digest(rated(violation))) for violation in parsed.plain_violations]


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        raise SystemExit("--write writes the golden files and docs/findings.md")
    for sample in names():
        (SAMPLES / f"{sample}.findings.json").write_text(golden(sample), "utf-8")
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
