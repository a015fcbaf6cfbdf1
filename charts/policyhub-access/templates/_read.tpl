{{/*
The APIs that are read, of operator/policyhub/model/source_apis.py and policy_apis.py. Made by `make generate`.
*/}}
{{- define "policyhub.sourceRules" -}}
- apiGroups: [wgpolicyk8s.io]
  resources: [policyreports, clusterpolicyreports]
  verbs: [list, watch]
- apiGroups: [openreports.io]
  resources: [reports, clusterreports]
  verbs: [list, watch]
# Each kind of constraint is a resource of its own, and they come and go with their templates.
- apiGroups: [constraints.gatekeeper.sh]
  resources: ["*"]
  verbs: [list, watch]
{{- end }}
{{- define "policyhub.policyRules" -}}
- apiGroups: [kyverno.io]
  resources: [clusterpolicies, policies]
  verbs: [list, watch]
- apiGroups: [policies.kyverno.io]
  resources:
    - validatingpolicies
    - namespacedvalidatingpolicies
    - imagevalidatingpolicies
    - namespacedimagevalidatingpolicies
  verbs: [list, watch]
- apiGroups: [policies.kubewarden.io]
  resources: [clusteradmissionpolicies, admissionpolicies, clusteradmissionpolicygroups, admissionpolicygroups]
  verbs: [list, watch]
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingadmissionpolicies]
  verbs: [list, watch]
- apiGroups: [templates.gatekeeper.sh]
  resources: [constrainttemplates]
  verbs: [list, watch]
{{- end }}
{{- define "policyhub.policyExistenceRules" -}}
- apiGroups: [kyverno.io]
  resources: [clusterpolicies, policies]
  verbs: [list]
- apiGroups: [policies.kyverno.io]
  resources:
    - validatingpolicies
    - namespacedvalidatingpolicies
    - imagevalidatingpolicies
    - namespacedimagevalidatingpolicies
  verbs: [list]
- apiGroups: [policies.kubewarden.io]
  resources: [clusteradmissionpolicies, admissionpolicies, clusteradmissionpolicygroups, admissionpolicygroups]
  verbs: [list]
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingadmissionpolicies]
  verbs: [list]
{{- end }}
