"""The fleet (`--fleet`): three real API servers stand in for EKS clusters in two accounts. One operator finds them by
their tag, and signs in with a role of each account. At the end, one of the clusters is deleted.

The local AWS answers DescribeCluster and AssumeRole, and each API server asks it to authenticate callers. The expected
findings follow from the reports that were written.
"""

import base64
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from dev import crds, testbed
from dev.chart.files import ACCESS
from dev.cluster import Cluster, ControlPlane, helm
from dev.company import Company, Violation, violations
from dev.company.kyverno import passed
from dev.company.report import with_result
from dev.company.truth import violation_in
from dev.demo.closing import PATH
from dev.demo.opening import ARCHIVE_DELAY, ENV
from dev.demo.screen import Screen
from dev.demo.stage import Document, Stage
from dev.hub.process import HubProcess
from policyhub.findings.identity import prefix

ROOT = Path(__file__).parents[2]
ARNS = {
    "shop-eu-west-1": "arn:aws:eks:eu-west-1:444455556666:cluster/shop",
    "shop-us-east-1": "arn:aws:eks:us-east-1:444455556666:cluster/shop",
    "bank-eu-west-1": "arn:aws:eks:eu-west-1:777788889999:cluster/bank",
}
"""Name of the MonitoredCluster → ARN."""
ACCOUNTS = tuple(dict.fromkeys(arn.split(":")[4] for arn in ARNS.values()))
ROLES = {account: f"arn:aws:iam::{account}:role/policyhub" for account in ACCOUNTS}
EXTERNAL_ID = "policyhub-prod"
GROUP = "policyhub"
TAGS = {"policyhub": "yes"}
UNTAGGED = {"arn": "arn:aws:eks:eu-west-1:777788889999:cluster/sandbox", "endpoint": "https://127.0.0.1:1", "tags": {}}
"""A cluster without the tag: EKS describes it, and it does not exist."""
DISCOVERIES = "/apis/policyhub.dev/v1alpha1/clusterdiscoveries"
DISCOVERY: Document = {
    "apiVersion": "policyhub.dev/v1alpha1",
    "kind": "ClusterDiscovery",
    "metadata": {"name": "fleet"},
    "spec": {
        "accounts": [
            {"accountId": account, "roleArn": role, "externalId": EXTERNAL_ID} for account, role in ROLES.items()
        ],
        "regions": ["eu-west-1", "us-east-1"],
        "tagSelector": {"matchTags": TAGS},
        "namePattern": "{name}-{region}",
        "template": {"spec": {"archiveDelay": ARCHIVE_DELAY, "rollUp": False}},
    },
}
VALUES = {
    "monitoredCluster": {"enabled": False},
    "clusterDiscovery": {"enabled": True},
    "settings": {"eksEndpointHosts": "127.0.0.1"},
    "extraEnv": ENV,
}
REPORTS = 12
"""Of the company, in each cluster."""
FIXED = "shop-eu-west-1"
DELETED = "shop-us-east-1"


@dataclass
class Member:
    """One cluster of the fleet, and the reports in it."""

    arn: str
    cluster: Cluster
    reports: list[Document] = field(default_factory=list)

    @property
    def described(self) -> Document:
        """As EKS describes it, with an access entry for the role of its account."""
        entry = {"principal": ROLES[self.arn.split(":")[4]], "groups": [GROUP]}
        authority = base64.b64encode((self.cluster.ca or "").encode()).decode()
        return {"arn": self.arn, "endpoint": self.cluster.url, "authority": authority, "entries": [entry], "tags": TAGS}


class Fleet:
    """The steps, each called with the stage."""

    def __init__(self, members: dict[str, Member]) -> None:
        self._members = members

    @property
    def steps(self) -> Sequence[Callable[[Stage], None]]:
        return self.clusters_are_monitored, self.a_fix_is_archived, self.a_cluster_is_deleted

    def clusters_are_monitored(self, stage: Stage) -> None:
        stage.screen.step(
            "One ClusterDiscovery: a MonitoredCluster for each cluster with the tag, without Secrets and kubeconfigs"
        )
        mark = stage.mark()
        stage.cluster.apply([DISCOVERY])
        seconds = stage.until("waiting for the findings of all three clusters", lambda: self._holds(stage))
        self._found(stage)
        number = sum(len(violations(member.reports)) for member in self._members.values())
        stage.screen.say(
            f"{number} findings of three clusters, {seconds:.1f} s after the ClusterDiscovery was applied."
        )
        asked = {
            name: len(stage.asked(mark, name))
            for name in ("AssumeRole", "ListClusters", "DescribeCluster", "BatchImportFindings")
        }
        stage.screen.say(f"AWS calls: {', '.join(f'{name} {times}' for name, times in asked.items())}.")
        stage.screen.table(
            ["CLUSTER", "TOKENS", "FINDINGS"],
            [
                [member.arn, str(stage.hub.tokens(member.arn)), str(len(violations(member.reports)))]
                for member in self._members.values()
            ],
        )
        self._table(stage)

    def _found(self, stage: Stage) -> None:
        found = stage.cluster.request("GET", f"{DISCOVERIES}/fleet")["status"]["clusters"]
        rows = [[one["arn"], one["state"], one["reason"], one.get("monitoredCluster", "")] for one in found]
        stage.screen.table(["CLUSTER", "STATE", "REASON", "MONITOREDCLUSTER"], rows)
        stage.expect(
            "each cluster with the tag has a MonitoredCluster, and no other cluster has one",
            holds={row[0]: row[3] for row in rows if row[1] == "Made"}
            == {one.arn: name for name, one in self._members.items()},
        )

    def a_fix_is_archived(self, stage: Stage) -> None:
        stage.screen.step(f"A team of {FIXED} fixes a workload")
        member, mark = self._members[FIXED], stage.mark()
        place = max(range(len(member.reports)), key=lambda n: len(violations(member.reports[n : n + 1])))
        fixed = member.reports[place]
        gone = len(violations([fixed]))
        for violation in violations([fixed]):
            fixed = with_result(
                fixed, policy=violation.policy, word="pass", message=passed(violation.rule), now=stage.now()
            )
        member.reports[place] = fixed
        member.cluster.apply([fixed])
        stage.until(f"waiting for its {gone} findings to be archived", lambda: self._holds(stage))
        sent = stage.sent(mark)
        stage.expect(
            f"{FIXED} alone has findings archived",
            holds=len(sent) == gone and all(entry["id"].startswith(prefix(member.arn)) for entry in sent),
        )
        stage.screen.say(f"{gone} findings of {FIXED} archived; those of the other clusters are unchanged.")

    def a_cluster_is_deleted(self, stage: Stage) -> None:
        stage.screen.step(f"{DELETED} is deleted in EKS")
        mark = stage.mark()
        self._members[DELETED].cluster.stop()
        stage.hub.eks([UNTAGGED, *(one.described for name, one in self._members.items() if name != DELETED)])

        def lost() -> Document:
            return testbed.condition(testbed.monitored(stage.cluster, DELETED), "Connected")

        stage.until(
            "waiting for the operator to lose the connection and ask EKS", lambda: lost().get("reason") == "ClusterGone"
        )
        stage.screen.say(f"Connected is False: {lost()['message']}")
        stage.expect("the findings of a deleted cluster stay until a person decides", holds=self._holds(stage))
        stage.expect("nothing was sent about the deleted cluster", holds=not stage.sent(mark))
        stage.screen.say("Its findings stay active until a person decides. The other clusters are not affected.")
        self._table(stage)

    def _holds(self, stage: Stage) -> bool:
        """Whether the active findings match what each cluster reports."""
        found: dict[str, set[Violation]] = {member.arn: set() for member in self._members.values()}
        for finding in stage.hub.findings(record_state="ACTIVE"):
            found[finding["ProductFields"]["policyhub/cluster"]].add(violation_in(finding))
        return all(found[member.arn] == violations(member.reports) for member in self._members.values())

    def _table(self, stage: Stage) -> None:
        wanted = {(name, len(violations(member.reports)), 0) for name, member in self._members.items()}

        def shown(one: Document) -> tuple[str, int, int]:
            found = one.get("status", {}).get("findings", {})
            return one["metadata"]["name"], found.get("active"), found.get("pending")

        def settled() -> bool:
            return {shown(one) for one in stage.cluster.request("GET", PATH)["items"]} == wanted

        stage.until("waiting for the status to show the latest changes", settled)
        stage.kubectl_get(PATH)


def open_stage(screen: Screen, stack: ExitStack, *, home: testbed.Home) -> tuple[Stage, Fleet]:
    screen.step(
        "A local AWS with three accounts, the operator's cluster, and three EKS clusters in the other two accounts"
    )
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="policyhub-demo-")))
    hub = stack.enter_context(HubProcess.start(accounts=(testbed.ACCOUNT, *ACCOUNTS)))
    screen.say(f"Findings page, live from now on: {hub.url}/  (a stand-in on this machine, not AWS)")
    with screen.waiting("starting etcd and four API servers; the first run builds them from source"):
        plane = stack.enter_context(ControlPlane.start(progress=screen.say))
        cluster = plane.cluster("home")
        installed = testbed.install(cluster, folder, values=VALUES, progress=screen.say)
        members = {
            name: Member(arn, plane.cluster(name, authenticator=hub.authenticator(arn))) for name, arn in ARNS.items()
        }
        for seed, member in enumerate(members.values()):
            _fill(member, Company.build(seed), rights())
    hub.roles(dict.fromkeys(ROLES.values(), EXTERNAL_ID))
    hub.eks([UNTAGGED, *(member.described for member in members.values())])
    for name, member in members.items():
        screen.say(f"{name} is {member.arn}: access entry for {member.described['entries'][0]['principal']}.")
    operator = stack.enter_context(testbed.Operator(installed, hub, home=home))
    with screen.waiting("starting the operator as a process, with the command of the chart's Deployment"):
        operator.start()
    return Stage(screen, stack, folder, hub, cluster, operator, Company.build()), Fleet(members)


def rights() -> list[Document]:
    """The permissions in a monitored cluster, from the chart policyhub-access."""
    return helm.render(ROOT / ACCESS, "policyhub-access", testbed.NAMESPACE, {"group": GROUP})


def _fill(member: Member, company: Company, allowed: list[Document]) -> None:
    member.reports = company.reports(now=int(time.time()))[:REPORTS]
    member.cluster.apply([*crds.report_apis(), *allowed, *company.namespaces(), *member.reports])
