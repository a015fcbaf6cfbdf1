"""What to do about it: one remedy for each reason, for conditions and the doctor.

A reason that several conditions have goes by `Condition/Reason` where it needs other words there. A message that holds
its remedy already, with the commands for the very case, is in `TOLD`. Pure: no I/O, no clock.
"""

from collections.abc import Mapping

from policyhub.cluster.formatting import sentence

_SEE_LOG = "kubectl logs -n policyhub deployment/policyhub"
_ROUTE = (
    "check the way from the operator's Pod to that address: the route (peering or transit gateway, the EKS cluster's"
    " endpoint access, a VPC endpoint), the API server's security group, the NetworkPolicy (chart: networkPolicy), the"
    " proxy (HTTPS_PROXY, NO_PROXY, proxy-url), and server and certificate-authority-data of the kubeconfig"
)
_ROLE = "apply the chart's ClusterRole and its binding in that cluster"
_RETRIED = "it is tried again by itself; if it lasts, check the load and the log of the API server"

REMEDIES: Mapping[str, str] = {
    # Connected, and each source
    "Connecting": "wait a few seconds",
    "Unreachable": _ROUTE,
    "Unauthorized": "renew the credential: put a new kubeconfig into the Secret, which is read again by itself; where"
    " the operator watches its own cluster, restart its Pod",
    "Forbidden": _ROLE,
    "ApiError": "look at the API server and its log; the operator tries again at least once a minute",
    "NotConnected": "see the condition Connected",
    "Discovering": "wait a few seconds",
    "DiscoveryFailed": "repair the API service that does not answer (kubectl get apiservices), or serve a version that"
    " the operator reads",
    "Listing": "wait: 100,000 reports take some minutes",
    "ListingForbidden": _ROLE,
    "ListingExpired": _RETRIED,
    "ListingFailed": _RETRIED,
    "WatchForbidden": _ROLE,
    "WatchExpired": _RETRIED,
    "WatchFailed": _RETRIED,
    "Vanished": "install the CRD again; if the engine was removed for good, approve archiving its findings:"
    " policyhub archive NAME --approve=ENGINE",
    "Fault": f"report it with the line reflector_fault of the log: {_SEE_LOG}",
    # EnginesReporting
    "NoSourceServed": "install a policy engine that writes PolicyReports, OpenReports or constraints, or check"
    " spec.sources",
    "SourcesIncomplete": "see the condition SourcesComplete",
    "AuditStale": "look at the Pod gatekeeper-audit: its log and restarts, --audit-interval (0 is off), and the folder"
    " of --api-cache-dir, without which every audit fails",
    "NotAudited": "a new constraint waits for the next audit; one with enforcementAction scoped needs the point"
    " audit.gatekeeper.sh",
    "ListsCut": "raise --constraint-violations-limit of Gatekeeper's audit (now {now}, it seems) to {need}",
    # HubReachable
    "NotVerified": "wait until the cluster is connected",
    "Throttled": "wait: the operator calls more slowly by itself. If it lasts, find the other tools that call AWS in"
    " this account (CloudTrail, by the event's user agent)",
    "NotLeader": f"wait; if it lasts, look for lease_error and process_stood_still in the log: {_SEE_LOG}",
    "Refused": f"report it with this message and the log: {_SEE_LOG}",
    # InSync
    "Starting": "wait a few seconds",
    "HubUnreachable": "see the condition HubReachable",
    "InventoryIncomplete": "wait: at most 240 findings are read a second",
    "InventoryDelayed": "wait; other tools share the quota of 3 readings a second (CloudTrail names them, by the"
    " event's user agent)",
    "InventoryUnavailable": "let the operator read findings (securityhub:GetFindings; policyhub iam-policy prints the"
    " whole policy)",
    "DryRun": "set spec.mode to Sync to send them",
    "IdentityConflict": "see the condition IdentityConflict",
    "FindingsRejected": f"look for finding_rejected in the log, and report it: {_SEE_LOG}",
    "FindingsQuarantined": "see the condition IdentityConflict, which names one of them and what to do",
    "Pending": "wait: at most 800 findings are sent a second; if it lasts, see the condition HubReachable",
    # OwnersKnown, PoliciesKnown, InputAccepted
    "NotRead": "wait until the cluster is connected",
    "NotUnderstood": "fix the producer that wrote them; the log's lines source_object_malformed say what is wrong",
    "LimitExceeded": "look at these reports; if they are right, raise the limit that is named",
    "ImportsUsedUp": "find out what changes there so often, or raise POLICYHUB_LIMIT_NAMESPACE_IMPORTS",
    "ReadLater": "find out what writes there so fast; nothing else is concerned",
    "SupersededReports": "delete these reports",
    # ArchiveHeld: its message adds the command for the very engine
    "TooManyLost": "check that the engine runs and that nobody removed its policies by mistake. To archive what it"
    " lost, for one hour: policyhub archive NAME --approve=ENGINE",
    # The spec
    "InvalidSpec": "correct the field, and apply the CRD of this version of the operator",
    "AwsConfiguration": "correct it in the operator's environment (chart: extraEnv)",
}

WHAT_IS_HELD = "None of them is archived until what was missing comes back or somebody approves."
"""In the message of ArchiveHeld: what was found stands before it, what to do behind it."""
_RUNS = "check whether the operator runs: kubectl get pods -n policyhub"
_POLICY = "policyhub iam-policy prints the whole policy"
DOCTOR: Mapping[str, str] = {
    "proxy/range": "add {host} itself to NO_PROXY",
    "proxy/inside": "add {host} to NO_PROXY",
    "proxy/url": "write it as http://host:port",
    "certificates": "mount the bundle there as PEM (the chart's extraVolumes), or leave the variable out",
    "monitored-clusters": "point --kubeconfig at the cluster that the operator runs in, and use an identity that may"
    " list MonitoredClusters",
    "monitored-clusters/crd": "install the chart, whose folder crds/ holds the CRD",
    "monitored-clusters/none": "create one (the chart's monitoredCluster.enabled), or name one that is there",
    "monitored-clusters/invalid": "apply the CRD of this version, then the object again",
    "operator/none": f"check whether the operator runs and what it logs: kubectl get pods -n policyhub; {_SEE_LOG}",
    "operator/old": f"{_RUNS}; it applies a change within seconds",
    "operator/gone": _RUNS,
    "identity": "do what the message says; see it in full with kubectl describe monitoredcluster {name}",
    "operator/not-ready": "{remedy}; all conditions: kubectl describe monitoredcluster {name}",
    "connection": _ROUTE,
    "connection/told": "do what the message says",
    "connection/home": "point --kubeconfig or KUBECONFIG at the cluster that the operator runs in",
    "connection/secret": "check spec.connection.kubeconfigSecretRef and the chart's kubeconfigSecrets",
    "connection/old": "upgrade the cluster: the operator is made for {version} and later",
    "clock": "synchronise the node's clock (chrony with Amazon Time Sync)",
    "api-access": "use an identity that may create SelfSubjectAccessReviews: by default every signed-in user may",
    "api-access/account": "only an administrator may ask about another service account: run it as one, or in the Pod",
    "sources/ending": "nothing, if the CRD is meant to be deleted: its findings stay until another source reports on"
    " their objects",
    "engines": "policyhub render --live shows more of each",
    "engines/more": "exclude the engines that nobody needs (spec.sources.exclude)",
    "superseded-reports": "delete what {engine} has written there ({commands}); other engines may have reports there",
    "credentials": "name the Security Hub with --account-id and --region",
    "credentials/account": "name a role of account {account} (securityHub.roleArn, or spec.securityHub.roleArn of the"
    " MonitoredCluster); `policyhub iam-policy --assume-role arn:…:iam::{account}:role/…` prints what it needs",
    "credentials/region": "correct the Region: securityHub.region of the chart, or delete the MonitoredCluster that"
    " names it and create it again with the right spec.securityHub.region",
    "credentials/other": "do what the message says, then run it again",
    "security-hub": f"grant securityhub:DescribeHub; {_POLICY}",
    "security-hub/off": "aws securityhub enable-security-hub --region {region} --no-enable-default-standards",
    "security-hub/other": "check AWS_ENDPOINT_URL and the Region: another hub answers",
    "product-arn": "grant securityhub:BatchImportFindings on the product, with the right partition and account;"
    f" {_POLICY}",
    "product-arn/taken": "archive the finding {id}: it was a test that Security Hub should have refused",
    "get-findings": f"grant securityhub:GetFindings on the hub; {_POLICY}",
    "not-asked": "first fix what this hub's other lines say, then run it again",
    "hub-failed": "run it again; if it stays so, check the route to securityhub of this Region (VPC endpoints, NAT,"
    " proxy)",
    "quotas": "point --metrics-url at the operator's /metrics; from outside the Pod, port-forward it first",
    "quotas/none": "wait until the operator has called Security Hub: see the line operator",
    "quotas/slowed": "find the other tools that call Security Hub in this account (CloudTrail, by the event's user"
    " agent), or lower POLICYHUB_HUB_QUOTA_SHARE, which leaves more to them",
    "quotas/readings": "ask the account's other tools to read less often; the operator waits and goes on",
    "wording": "nothing is lost; have the producer leave out what changes at each scan, such as times, counters or the"
    " order of a list, and tell policyhub's authors which member it is",
    "other-tools": "{stop}, then archive what it left: {command}",
    "other-tools/more": "archive what these tools left; then the next ones are shown",
}
"""The doctor's own, by check; what conditions have too it takes from REMEDIES and ENGINES."""
TOLD = frozenset(
    {
        *("AccountMismatch", "AccessDenied", "CredentialsExpired", "CredentialsMissing", "CredentialsRejected"),
        *("Misconfigured", "NotEnabled", "Unavailable"),  # policyhub.securityhub.advice has one for each
        *("KubeconfigInvalid", "UnknownRegion"),  # policyhub.kube.secret and kubeconfig, policyhub.destination
        *("TooManyLost", "ClaimedTwice", "AlsoClaimed", "OtherCluster", "ForeignFindings"),
        *("TwoIdentities", "OtherIdentity"),
        *("ExistenceForbidden", "OwnersKnown/Forbidden", "PoliciesKnown/Forbidden", "ClockMoved"),
        *("AccessEntryMissing", "ClockSkew", "ClusterCreating", "ClusterDeleting", "ClusterExternal", "ClusterFailed"),
        *("ClusterGone", "ClusterNotFound", "ConfigMapOnly", "EndpointInvalid", "EndpointPrivate"),
        *(
            "EndpointRestricted",
            "TokenTooLarge",
        ),  # policyhub.eks has one for each, with the commands for the very cluster
        *("HubNotNamed", "HubChanged", "NotStarted", "StatusFailed", "EngineSilent"),
        *("Retiring", "RetireFailed", "Deleted"),
    }
)
"""Reasons whose fault or message says itself what to do."""

GOOD = frozenset({"RollUpOff", "EnrichmentOff", "NothingHeld", "NoConflict", "NothingReported"})
"""Reasons of a condition that is not True and asks for nothing."""

ENGINES: Mapping[str, str] = {
    "kyverno": "look at kyverno-reports-controller: its log, restarts and memory. Errors that it logs only at v=4 stop"
    " all reports, such as a ValidatingAdmissionPolicyBinding with a name of more than 63 characters (then start it"
    " with --validatingAdmissionPolicyReports=false); a restart cures watches that have died",
    "kubewarden": "look at the jobs of kubewarden's audit scanner and at its policy servers",
}
"""What an engine's name begins with → what to look at when it is silent."""
OTHERS = "check whether {engine} runs, and its log"


MEANING: Mapping[str, str] = {
    "Connected": "Until this is fixed, new violations in this cluster are not seen and its findings stay as they are;"
    " the operator tries again at least once a minute",
    "HubReachable": "Until this is fixed, Security Hub is not up to date; nothing is lost, and the operator tries again"
    " at least once a minute",
    "Ready": "Until this is fixed, nothing of this cluster is read or sent, and its findings stay as they are",
}
"""What it means for the reader that such a condition is not True. Ready: while there is no other condition."""
_NO_TROUBLE = frozenset({"Connected", "Connecting", "Reachable", "NotVerified", "Starting"})


def remedy(type_: str, reason: str) -> str:
    """Empty where the message says it, or nothing is to be done."""
    if f"{type_}/{reason}" in TOLD:
        return ""
    return REMEDIES.get(f"{type_}/{reason}", "" if reason in TOLD else REMEDIES.get(reason, ""))


def with_remedy(type_: str, reason: str, message: str, *, given: str = "") -> str:
    """What was found, what it means, and what to do about it: `given` for the very case, else by the reason. What to do
    comes last and without a full stop, since it may end with a command.
    """
    meaning = "" if reason in _NO_TROUBLE else MEANING.get(type_, "")
    todo = given or remedy(type_, reason)
    if todo[1:] in message:
        todo = ""
    parts = [part for part in (meaning, sentence(todo)) if part]
    return ". ".join([message.rstrip("."), *parts]) if parts else message
