{{/*
What the operator may do in a cluster that it monitors; in the home cluster its own objects are added. The chart
policyhub-access has a copy of this file, made by `make generate`.
*/}}
{{- define "policyhub.monitoredRules" -}}
# What the policy engines say.
{{ include "policyhub.sourceRules" . }}
# Its uid tells one cluster from another of the same name.
- apiGroups: [""]
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
{{- if .Values.rbac.namespaces }}
# Of a namespace that was deleted no object is left.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end }}
{{- if .Values.rbac.rollUp }}
# Whose they are: their results count for their controllers, which are verified.
- apiGroups: [""]
  resources: [pods, replicationcontrollers]
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [replicasets, deployments, statefulsets, daemonsets]
  verbs: [list, watch]
- apiGroups: [batch]
  resources: [jobs, cronjobs]
  verbs: [list, watch]
{{- end }}
{{- if .Values.rbac.enrichment }}
# What policies say of themselves: titles, descriptions, remediation, requirements.
{{ include "policyhub.policyRules" . }}
{{- end }}
{{- if .Values.rbac.existence }}
# Whether an object that is not reported any more still exists: what engines report on. No Secrets, no ConfigMaps.
- apiGroups: [""]
  resources: [namespaces, pods, replicationcontrollers]
  verbs: [get]
- apiGroups: [apps]
  resources: [daemonsets, deployments, replicasets, statefulsets]
  verbs: [get]
- apiGroups: [batch]
  resources: [cronjobs, jobs]
  verbs: [get]
- apiGroups: [""]
  resources: [limitranges, nodes, persistentvolumeclaims, resourcequotas, serviceaccounts, services]
  verbs: [get, list]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [get, list]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterrolebindings, clusterroles, rolebindings, roles]
  verbs: [get, list]
# And whether the policy does that found something.
{{ include "policyhub.policyExistenceRules" . }}
{{- end }}
{{- end }}
