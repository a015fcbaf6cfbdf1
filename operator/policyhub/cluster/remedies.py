"""What to do about a problem: one remedy for each reason, for conditions and the doctor.

If the message of a reason already contains the remedy, with the commands for the case, the reason has
`Trait.ADVISED`, and nothing is added.

Pure: no I/O, no clock.
"""

from collections.abc import Mapping

from policyhub.api.reason import Cause, Nature, Reason
from policyhub.cluster.formatting import sentence

_SEE_LOG = "kubectl logs -n policyhub deployment/policyhub"
_ROUTE = (
    "check the network path from the operator's Pod to that address: the route (peering or transit gateway, the EKS"
    " cluster's endpoint access, a VPC endpoint), the API server's security group, the NetworkPolicy (chart:"
    " networkPolicy), the proxy (HTTPS_PROXY, NO_PROXY, proxy-url), and server and certificate-authority-data of the"
    " kubeconfig"
)
_ROLE = "apply the chart's ClusterRole and its binding in that cluster"
_RETRIED = "wait: the operator tries again. If it lasts, check the load and the log of the API server"

REMEDIES: Mapping[Reason, str] = {
    # Connected, and each source
    Reason.CONNECTING: "wait a few seconds",
    Reason.UNREACHABLE: _ROUTE,
    Reason.UNAUTHORIZED: "renew the credentials: put a new kubeconfig into the Secret, which the operator reads again"
    " within a minute; if it watches its own cluster, restart its Pod",
    Reason.FORBIDDEN: _ROLE,
    Reason.API_ERROR: "check the API server and its log; the operator tries again at least once a minute",
    Reason.NOT_CONNECTED: "see the condition Connected",
    Reason.DISCOVERING: "wait a few seconds",
    Reason.DISCOVERY_FAILED: "fix the APIService that does not answer (kubectl get apiservices), or serve a"
    " version that the operator reads",
    Reason.LISTING: "wait: 100,000 reports take some minutes",
    Reason.LISTING_FORBIDDEN: _ROLE,
    Reason.LISTING_EXPIRED: _RETRIED,
    Reason.LISTING_FAILED: _RETRIED,
    Reason.WATCH_FORBIDDEN: _ROLE,
    Reason.WATCH_EXPIRED: _RETRIED,
    Reason.WATCH_FAILED: _RETRIED,
    Reason.VANISHED: "install the CRD again; if the engine was removed for good, approve archiving its findings:"
    " policyhub archive NAME --approve=ENGINE",
    Reason.FAULT: f"report it with the log line reflector_fault: {_SEE_LOG}",
    # EnginesReporting
    Reason.NO_SOURCE_SERVED: "install a policy engine that writes PolicyReports, OpenReports or constraints, or check"
    " spec.sources",
    Reason.SOURCES_INCOMPLETE: "see the condition SourcesComplete",
    Reason.AUDIT_STALE: "check the Pod gatekeeper-audit: its log and restarts, --audit-interval (0 switches it off),"
    " and the directory of --api-cache-dir, without which every audit fails",
    Reason.NOT_AUDITED: "a new constraint waits for the next audit; one with enforcementAction scoped needs the"
    " enforcement point audit.gatekeeper.sh",
    Reason.LISTS_CUT: "raise --constraint-violations-limit of Gatekeeper's audit (probably {now} now) to {need}",
    # HubReachable
    Reason.NOT_VERIFIED: "wait until the cluster is connected",
    Reason.THROTTLED: "wait: the operator has reduced its call rate. If it lasts, find the other tools that call AWS"
    " in this account (CloudTrail, by the event's user agent)",
    Reason.NOT_LEADER: f"wait; if it lasts, look for lease_error and process_stood_still in the log: {_SEE_LOG}",
    Reason.REFUSED: f"report it with this message and the log: {_SEE_LOG}",
    # InSync
    Reason.STARTING: "wait a few seconds",
    Reason.HUB_UNREACHABLE: "see the condition HubReachable",
    Reason.INVENTORY_INCOMPLETE: "wait: at most 240 findings are read a second",
    Reason.INVENTORY_DELAYED: "wait; other tools share the quota of 3 GetFindings calls a second (CloudTrail names"
    " them, by the event's user agent)",
    Reason.INVENTORY_UNAVAILABLE: "allow the operator to read findings (securityhub:GetFindings; policyhub iam-policy"
    " prints the complete policy)",
    Reason.DRY_RUN: "set spec.mode to Sync to send them",
    Reason.IDENTITY_CONFLICT: "see the condition IdentityConflict",
    Reason.FINDINGS_REJECTED: f"look for finding_rejected in the log, and report it: {_SEE_LOG}",
    Reason.FINDINGS_QUARANTINED: "see the condition IdentityConflict, which names one of them and what to do",
    Reason.PENDING: "wait: at most 800 findings are sent a second; if it lasts, see the condition HubReachable",
    # OwnersKnown, PoliciesKnown, InputAccepted
    Reason.NOT_READ: "wait until the cluster is connected",
    Reason.NOT_UNDERSTOOD: "fix the producer that wrote them; the log lines source_object_malformed say what is wrong",
    Reason.LIMIT_EXCEEDED: "check these reports; if they are correct, raise the limit",
    Reason.IMPORTS_USED_UP: "find out what changes there so often, or raise POLICYHUB_LIMIT_NAMESPACE_IMPORTS",
    Reason.READ_LATER: "find out what writes there so fast; other namespaces are not affected",
    Reason.SUPERSEDED_REPORTS: "delete these reports",
    # ArchiveHeld: its message has the command with the name of the engine
    Reason.TOO_MANY_LOST: "check that the engine runs and that nobody removed its policies by mistake. To approve"
    " archiving its lost findings for one hour: policyhub archive NAME --approve=ENGINE",
    # The spec
    Reason.INVALID_SPEC: "correct the field, and apply the CRD of this version of the operator",
    Reason.AWS_CONFIGURATION: "correct it in the operator's environment (chart: extraEnv)",
}

HELD_UNTIL = "None of them is archived until the engine reports them again or somebody approves."
"""The middle of the message of ArchiveHeld, between what was found and what to do."""
_RUNS = "check whether the operator runs: kubectl get pods -n policyhub"
_POLICY = "policyhub iam-policy prints the complete policy"
DOCTOR: Mapping[str, str] = {
    "proxy/range": "add {host} itself to NO_PROXY",
    "proxy/inside": "add {host} to NO_PROXY",
    "proxy/url": "set it to http://host:port",
    "certificates": "mount the bundle there as PEM (the chart's extraVolumes), or unset the variable",
    "monitored-clusters": "point --kubeconfig at the cluster that the operator runs in, and use an identity that may"
    " list MonitoredClusters",
    "monitored-clusters/crd": "install the chart; its folder crds/ contains the CRD",
    "monitored-clusters/none": "create one (the chart's monitoredCluster.enabled), or give the name of an existing one",
    "monitored-clusters/invalid": "apply the CRD of this version, then apply the object again",
    "operator/none": f"check whether the operator runs and what it logs: kubectl get pods -n policyhub; {_SEE_LOG}",
    "operator/old": f"{_RUNS}; it applies changes within seconds",
    "operator/gone": _RUNS,
    "identity": "do what the message says; see it in full with kubectl describe monitoredcluster {name}",
    "operator/not-ready": "{remedy}; all conditions: kubectl describe monitoredcluster {name}",
    "connection": _ROUTE,
    "connection/told": "do what the message says",
    "connection/home": "point --kubeconfig or KUBECONFIG at the cluster that the operator runs in",
    "connection/secret": "check spec.connection.kubeconfigSecretRef and the chart's kubeconfigSecrets",
    "connection/old": "upgrade the cluster: the operator supports Kubernetes {version} and later",
    "clock": "synchronise the node's clock (chrony with Amazon Time Sync)",
    "api-access": "use an identity that may create SelfSubjectAccessReviews; by default, every authenticated user may",
    "api-access/account": "only an administrator may check another service account: run it as one, or in the Pod",
    "sources/ending": "nothing, if the deletion is intended: the findings stay until another source reports about"
    " their objects",
    "engines": "policyhub render --live shows the details",
    "engines/more": "exclude the engines that nobody needs (spec.sources.exclude)",
    "superseded-reports": "delete the reports of {engine} there, but not those of other engines ({commands})",
    "credentials": "give the account and Region of Security Hub with --account-id and --region",
    "credentials/account": "use a role in account {account} (securityHub.roleArn, or spec.securityHub.roleArn of the"
    " MonitoredCluster); `policyhub iam-policy --assume-role arn:…:iam::{account}:role/…` prints what it needs",
    "credentials/region": "correct the Region: securityHub.region of the chart, or delete the MonitoredCluster that"
    " names it and create it again with the right spec.securityHub.region",
    "credentials/other": "do what the message says, then run the doctor again",
    "security-hub": f"grant securityhub:DescribeHub; {_POLICY}",
    "security-hub/off": "aws securityhub enable-security-hub --region {region} --no-enable-default-standards",
    "security-hub/other": "check AWS_ENDPOINT_URL and the Region: another hub answers",
    "product-arn": "grant securityhub:BatchImportFindings on the product, with the right partition and account;"
    f" {_POLICY}",
    "product-arn/taken": "archive the finding {id}: it was a test that Security Hub should have rejected",
    "get-findings": f"grant securityhub:GetFindings on the hub; {_POLICY}",
    "not-asked": "first fix the other problems of this hub, then run the doctor again",
    "hub-failed": "run the doctor again; if it fails again, check the route to securityhub of this Region (VPC"
    " endpoints, NAT, proxy)",
    "quotas": "point --metrics-url at the operator's /metrics; from outside the Pod, port-forward it first",
    "quotas/none": "wait until the operator has called Security Hub: see the check operator",
    "quotas/slowed": "find the other tools that call Security Hub in this account (CloudTrail, by the event's user"
    " agent), or lower POLICYHUB_HUB_QUOTA_SHARE, which leaves more to them",
    "quotas/readings": "let the account's other tools call GetFindings less often; the operator waits and retries",
    "wording": "nothing is lost; change the producer so that it omits what changes at each scan, such as times,"
    " counters or the order of a list, and report the field to policyhub's authors",
    "other-tools": "{stop}, then archive its findings: {command}",
    "other-tools/more": "archive the findings of these tools; then the next ones are shown",
}
"""Check of the doctor → remedy. Problems that conditions also show have the remedy of the condition."""

ENGINE_SILENT = "check whether {engine} runs, and its log"
"""For an engine whose row in model/engines.py has no `silent_remedy`."""


MEANING: Mapping[str, str] = {
    "Connected": "Until this is fixed, new violations in this cluster are not found and its findings stay as they are;"
    " the operator tries again at least once a minute",
    "HubReachable": "Until this is fixed, Security Hub is not up to date; nothing is lost, and the operator tries again"
    " at least once a minute",
    "Ready": "Until this is fixed, nothing of this cluster is read or sent, and its findings stay as they are",
}
"""Condition → what it means for the reader that it is not True. Ready: while it is the only condition."""
_WITHOUT_MEANING = frozenset(
    {
        *(Reason.CONNECTING, Reason.NOT_VERIFIED, Reason.STARTING),  # over in seconds
        *(Reason.RETIRING, Reason.RETIRE_FAILED),  # findings are being archived, and the message says how far
    }
)
"""Reasons to which MEANING does not apply."""


def remedy(type_: str, reason: Reason) -> str:
    """Empty if the message contains the remedy, or there is nothing to do."""
    return "" if reason.advised_in(type_) else REMEDIES.get(reason, "")


def with_remedy(type_: str, cause: Cause) -> str:
    """The message: what was found, what that means, and what to do (the remedy of the cause, otherwise of its reason).
    What to do comes last and without a full stop, because it may end with a command.
    """
    reason, message = cause.reason, cause.message
    meaning = "" if reason.nature is Nature.WELL or reason in _WITHOUT_MEANING else MEANING.get(type_, "")
    action = cause.remedy or remedy(type_, reason)
    if action[1:] in message:
        action = ""
    parts = [part for part in (meaning, sentence(action)) if part]
    return ". ".join([message.rstrip("."), *parts]) if parts else message
