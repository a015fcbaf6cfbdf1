{{- /*
Names that are not values of this chart but that users set: former names, and names in other charts. The schema accepts
them (dev/chart/schema.py reads the tables), so that Helm prints the messages below instead of "additional properties
'replicas' not allowed".
*/}}

{{/* Names of values before 0.1.0. */}}
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

{{/* Names of values in other charts, or in the MonitoredCluster's spec. */}}
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

{{/* Values of other charts for which this chart has another solution. */}}
{{- define "policyhub.otherWays" -}}
dryRun: "Set monitoredCluster.spec.mode=DryRun."
installCRDs: "The CRD is in the chart's folder crds/: Helm installs it. To do that yourself, use the option --skip-crds."
crds.enabled: "The CRD is in the chart's folder crds/: Helm installs it. To do that yourself, use the option --skip-crds."
crds.keep: "Helm always keeps the CRDs, and the objects with them. To remove both after the release: kubectl delete crd monitoredclusters.policyhub.dev clusterdiscoveries.policyhub.dev."
crds.install: "The CRD is in the chart's folder crds/: Helm installs it. To do that yourself, use the option --skip-crds."
roleARN: "Set serviceAccount.roleArn for IRSA, securityHub.roleArn for a role that the operator assumes."
roleArn: "Set serviceAccount.roleArn for IRSA, securityHub.roleArn for a role that the operator assumes."
leaderElect: "Set replicaCount=2: a Lease then decides which replica is active."
leaderElection: "Set replicaCount=2: a Lease then decides which replica is active."
autoscaling: "Only one replica is active, regardless of their number. Set replicaCount=2 for a standby replica."
ingress: "The operator serves only metrics. Set service or podMonitor to expose them."
livenessProbe.enabled: "A probe has the fields of a Pod's probe. Set livenessProbe=null to have none."
monitoring: "Set serviceMonitor.enabled or podMonitor.enabled, prometheusRule.enabled for the alerts, dashboards.enabled for Grafana."
readinessProbe.enabled: "A probe has the fields of a Pod's probe. Set readinessProbe=null to have none."
metrics: "The metrics are always enabled. Set service, serviceMonitor or podMonitor to expose them."
podSecurityContext.enabled: "A security context has the fields of a Pod's. Set podSecurityContext=null to have none."
prometheus: "Set serviceMonitor.enabled or podMonitor.enabled, and prometheusRule.enabled for the alerts."
region: "Set securityHub.region."
accountID: "Set securityHub.accountId, in quotes or with --set-string."
accountId: "Set securityHub.accountId, in quotes or with --set-string."
securityContext.enabled: "A security context has the fields of a container's. Set securityContext=null to have none."
{{- end }}

{{/* Fails if one of them is set. */}}
{{- define "policyhub.checkNames" -}}
{{- $messages := list }}
{{- range $old, $new := include "policyhub.oldNames" . | fromYaml }}
{{- if include "policyhub.isSet" (list $.Values $old) }}{{ $messages = append $messages (printf "%s is now called %s: use that name." $old $new) }}{{ end }}
{{- end }}
{{- range $other, $name := include "policyhub.otherNames" . | fromYaml }}
{{- if include "policyhub.isSet" (list $.Values $other) }}{{ $messages = append $messages (printf "%s is called %s in this chart: use that name." $other $name) }}{{ end }}
{{- end }}
{{- range $name, $sentence := include "policyhub.otherWays" . | fromYaml }}
{{- if include "policyhub.isSet" (list $.Values $name) }}{{ $messages = append $messages (printf "%s is not a value of this chart. %s" $name $sentence) }}{{ end }}
{{- end }}
{{- if $messages }}
{{- fail (printf "\n\n%s\n" (join "\n" $messages)) }}
{{- end }}
{{- end }}

{{/* Not empty if the values (first) have something at the path (second). */}}
{{- define "policyhub.isSet" -}}
{{- $node := first . }}
{{- range splitList "." (last .) }}
{{- if kindIs "map" $node }}{{ $node = get $node . }}{{ else }}{{ $node = "" }}{{ end }}
{{- end }}
{{- if not (or (kindIs "invalid" $node) (eq (toString $node) "")) }}set{{ end }}
{{- end }}
