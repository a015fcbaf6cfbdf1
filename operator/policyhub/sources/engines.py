"""Engines, as they call themselves in what they write: which are known, and how many others are told apart.

Pure: no I/O, no clock.
"""

GATEKEEPER = "gatekeeper"
"""Which never names itself: it is the source of whatever a constraint lists."""
ENGINES = 50
"""Of one API whose newest results are kept; a cluster has two or three."""
ENGINES_EACH = 10
"""Of them, how many a namespace may bring in: whoever may write reports there may name engines."""
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
"""As these engines call themselves: nobody can push them out."""
