"""Engines by the names that they write into reports: the known ones, and how many others are tracked.

Pure: no I/O, no clock.
"""

GATEKEEPER = "gatekeeper"
"""Gatekeeper never names itself: this is the source of everything that a constraint lists."""
ENGINES = 50
"""Maximum number of engines per API whose newest results are tracked; a cluster has two or three."""
ENGINES_EACH = 10
"""How many of them one namespace may add: anyone who may write reports there can invent names."""
KNOWN_ENGINES = frozenset(
    {
        *(
            "kyverno",
            "kubewarden",
            GATEKEEPER,
            "ValidatingAdmissionPolicy",
            "MutatingAdmissionPolicy",
            "KyvernoValidatingPolicy",
            "KyvernoImageValidatingPolicy",
            "KyvernoGeneratingPolicy",
            "KyvernoMutatingPolicy",
            "kubescape",
            "Falco",
            "Kube Bench",
            "kube-cis",
        ),
        *("Trivy ConfigAudit", "Trivy Vulnerability", "Trivy RbacAssessment", "Trivy ExposedSecrets"),
        *("Trivy InfraAssessment", "Trivy Compliance"),
    }
)
"""The names that these engines write. Other names cannot displace them."""
