{{- /*
Names that are not values of this chart, but that people set: what it called them earlier, and what other charts do.
The schema lets these pass (dev/chart/schema.py reads the tables), so that the sentence below comes instead of
"additional properties 'replicas' not allowed".
*/}}

{{/* What a value was called before 0.1.0. */}}
{{- define "policyhub.oldNames" -}}
replicas: replicaCount
monitoredCluster.create: monitoredCluster.enabled
service.create: service.enabled
serviceMonitor.create: serviceMonitor.enabled
podMonitor.create: podMonitor.enabled
prometheusRule.create: prometheusRule.enabled
dashboards.create: dashboards.enabled
networkPolicy.create: networkPolicy.enabled
podDisruptionBudget.create: podDisruptionBudget.enabled
{{- end }}

{{/* What a value is called in other charts, or in the MonitoredCluster's spec. */}}
{{- define "policyhub.otherNames" -}}
annotations: commonAnnotations
archiveDelay: monitoredCluster.spec.archiveDelay
clusterARN: clusterArn
containerSecurityContext: securityContext
deploymentStrategy: updateStrategy
env: extraEnv
envFrom: extraEnvFrom
envVars: extraEnv
extraInitContainers: initContainers
extraManifests: extraObjects
httpProxy: proxy.http
httpsProxy: proxy.https
grafanaDashboard: dashboards
image.pullSecrets: imagePullSecrets
imageRegistry: image.registry
logFormat: log.format
logLevel: log.level
minimumSeverity: monitoredCluster.spec.minimumSeverity
mode: monitoredCluster.spec.mode
namespace: namespaceOverride
noProxy: proxy.noProxy
networkPolicy.egress: networkPolicy.extraEgress
networkPolicy.ingress: networkPolicy.metricsFrom
podDnsConfig: dnsConfig
podDnsPolicy: dnsPolicy
podMonitor.additionalLabels: podMonitor.labels
proxy.httpProxy: proxy.http
proxy.httpsProxy: proxy.https
rbac.enabled: rbac.create
securityHub.accountID: securityHub.accountId
securityHub.externalID: securityHub.externalId
securityHub.roleARN: securityHub.roleArn
serviceAccount.roleARN: serviceAccount.roleArn
serviceMonitor.additionalLabels: serviceMonitor.labels
sidecarContainers: extraContainers
strategy: updateStrategy
volumeMounts: extraVolumeMounts
volumes: extraVolumes
{{- end }}

{{/* What other charts have and this one has in another way. */}}
{{- define "policyhub.otherWays" -}}
dryRun: "Set monitoredCluster.spec.mode=DryRun."
installCRDs: "The CRD is in the chart's folder crds/: Helm installs it. To do that yourself, use the option --skip-crds."
crds.enabled: "The CRD is in the chart's folder crds/: Helm installs it. To do that yourself, use the option --skip-crds."
crds.keep: "Helm always keeps the CRDs, and the objects with them. To remove both after the release: kubectl delete crd monitoredclusters.policyhub.dev clusterdiscoveries.policyhub.dev."
crds.install: "The CRD is in the chart's folder crds/: Helm installs it. To do that yourself, use the option --skip-crds."
roleARN: "Set serviceAccount.roleArn for IRSA, securityHub.roleArn for a role that the operator assumes."
roleArn: "Set serviceAccount.roleArn for IRSA, securityHub.roleArn for a role that the operator assumes."
leaderElect: "Set replicaCount=2: the replicas then agree by a Lease which of them works."
leaderElection: "Set replicaCount=2: the replicas then agree by a Lease which of them works."
autoscaling: "One replica works, whatever their number. Set replicaCount=2 for one that stands by."
ingress: "The operator serves its metrics alone. Set service or podMonitor for who reads them."
livenessProbe.enabled: "A probe is as in a Pod. Set livenessProbe=null to have none."
monitoring: "Set serviceMonitor.enabled or podMonitor.enabled, prometheusRule.enabled for the alerts, dashboards.enabled for Grafana."
readinessProbe.enabled: "A probe is as in a Pod. Set readinessProbe=null to have none."
metrics: "The metrics are always there. Set service, serviceMonitor or podMonitor for who reads them."
podSecurityContext.enabled: "A security context is as in a Pod. Set podSecurityContext=null to have none."
prometheus: "Set serviceMonitor.enabled or podMonitor.enabled, and prometheusRule.enabled for the alerts."
region: "Set securityHub.region."
accountID: "Set securityHub.accountId, in quotes or with --set-string."
accountId: "Set securityHub.accountId, in quotes or with --set-string."
securityContext.enabled: "A security context is as in a Pod. Set securityContext=null to have none."
{{- end }}

{{/* Fails where one of them is set. */}}
{{- define "policyhub.checkNames" -}}
{{- $said := list }}
{{- range $old, $new := include "policyhub.oldNames" . | fromYaml }}
{{- if include "policyhub.isSet" (list $.Values $old) }}{{ $said = append $said (printf "%s is now %s; set that." $old $new) }}{{ end }}
{{- end }}
{{- range $other, $name := include "policyhub.otherNames" . | fromYaml }}
{{- if include "policyhub.isSet" (list $.Values $other) }}{{ $said = append $said (printf "%s is called %s in this chart; set that." $other $name) }}{{ end }}
{{- end }}
{{- range $name, $sentence := include "policyhub.otherWays" . | fromYaml }}
{{- if include "policyhub.isSet" (list $.Values $name) }}{{ $said = append $said (printf "%s is no value of this chart. %s" $name $sentence) }}{{ end }}
{{- end }}
{{- if $said }}
{{- fail (printf "\n\n%s\n" (join "\n" $said)) }}
{{- end }}
{{- end }}

{{/* Not empty where the values (first) have something at the path (second). */}}
{{- define "policyhub.isSet" -}}
{{- $node := first . }}
{{- range splitList "." (last .) }}
{{- if kindIs "map" $node }}{{ $node = get $node . }}{{ else }}{{ $node = "" }}{{ end }}
{{- end }}
{{- if not (or (kindIs "invalid" $node) (eq (toString $node) "")) }}set{{ end }}
{{- end }}
