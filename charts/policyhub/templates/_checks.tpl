{{- /*
Checks for values that contradict each other or the cluster. Each message says which values, why, and what to set. The
schema checks single values.
*/}}

{{- define "policyhub.checks" -}}
{{- include "policyhub.checkNames" . }}
{{- $problems := concat
  (include "policyhub.podProblems" . | fromYamlArray)
  (include "policyhub.replicaProblems" . | fromYamlArray)
  (include "policyhub.awsProblems" . | fromYamlArray)
  (include "policyhub.objectProblems" . | fromYamlArray) }}
{{- if $problems }}
{{- fail (printf "\n\n%s\n" (join "\n" $problems)) }}
{{- end }}
{{- end }}

{{/* The Pod. */}}
{{- define "policyhub.podProblems" -}}
{{- $problems := list }}
{{- $flags := dict "--metrics-port" "the Service and the probes use port 8080" "--lease" "replicaCount decides whether there is a Lease" }}
{{- range .Values.extraArgs }}
{{- $flag := splitList "=" . | first }}
{{- if hasKey $flags $flag }}{{ $problems = append $problems (printf "extraArgs: leave %s out: %s." $flag (get $flags $flag)) }}{{ end }}
{{- end }}
{{- range .Values.extraEnv }}
{{- $flag := .name | trimPrefix "POLICYHUB_" | lower | replace "_" "-" | printf "--%s" }}
{{- if and (hasPrefix "POLICYHUB_" .name) (hasKey $flags $flag) }}{{ $problems = append $problems (printf "extraEnv: leave %s out: %s." .name (get $flags $flag)) }}{{ end }}
{{- end }}
{{- if and (eq .Values.dnsPolicy "None") (not .Values.dnsConfig.nameservers) }}
{{- $problems = append $problems "dnsPolicy=None leaves the Pod without DNS servers: set dnsConfig.nameservers." }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (or .Values.serviceAccount.roleArn .Values.serviceAccount.annotations) }}
{{- $problems = append $problems "serviceAccount.roleArn and serviceAccount.annotations are annotations of the service account, and with serviceAccount.create=false the chart creates none: annotate your own, and remove these values." }}
{{- end }}
{{- toYaml $problems }}
{{- end }}

{{/* Number of replicas, and how they are replaced. */}}
{{- define "policyhub.replicaProblems" -}}
{{- $problems := list }}
{{- $several := gt (int .Values.replicaCount) 1 }}
{{- if eq .Values.updateStrategy.type "RollingUpdate" }}
{{- if eq (int .Values.replicaCount) 1 }}
{{- $problems = append $problems "updateStrategy.type=RollingUpdate would run two operators at the same time, and each of them would archive findings: set replicaCount=2, whose replicas use a Lease, or keep Recreate." }}
{{- else }}
{{- $there := lookup "apps/v1" "Deployment" (include "policyhub.namespace" .) (include "policyhub.fullname" .) }}
{{- if and $there (not (contains "POLICYHUB_LEASE" (toJson $there.spec))) }}
{{- $problems = append $problems "updateStrategy.type=RollingUpdate: the Deployment in the cluster has no Lease, so the new Pods would run beside its old one. Upgrade to replicaCount=2 with Recreate first, then set RollingUpdate." }}
{{- end }}
{{- end }}
{{- end }}
{{- if and $several (lt (int .Values.terminationGracePeriodSeconds) 36) }}
{{- $problems = append $problems (printf "terminationGracePeriodSeconds=%d is too short for a Pod with a Lease, which may send for 35 seconds before it ends: set 40." (int .Values.terminationGracePeriodSeconds)) }}
{{- end }}
{{- with .Values.podDisruptionBudget }}
{{- $least := include "policyhub.given" .minAvailable }}
{{- $most := include "policyhub.given" .maxUnavailable }}
{{- if and $least $most }}
{{- $problems = append $problems "podDisruptionBudget: set minAvailable or maxUnavailable, not both." }}
{{- else if and .enabled $several (or (eq (include "policyhub.replicas" (list $ $most)) "0") (and $least (ge (include "policyhub.replicas" (list $ $least) | atoi) (int $.Values.replicaCount)))) }}
{{- $problems = append $problems (printf "podDisruptionBudget allows no eviction of the %d replicas, so the drain of a node would never end: set maxUnavailable=1." (int $.Values.replicaCount)) }}
{{- end }}
{{- end }}
{{- toYaml $problems }}
{{- end }}

{{/* A number or percentage as text; empty if it is empty or null. */}}
{{- define "policyhub.given" -}}
{{- if not (kindIs "invalid" .) }}{{ . }}{{ end }}
{{- end }}

{{/* Number of replicas for a number or percentage (last), rounded up as Kubernetes does; empty if that is empty. */}}
{{- define "policyhub.replicas" -}}
{{- $given := last . }}
{{- if hasSuffix "%" $given }}
{{- div (add (mul (trimSuffix "%" $given | atoi) (int (first .).Values.replicaCount)) 99) 100 }}
{{- else }}
{{- $given }}
{{- end }}
{{- end }}

{{/* AWS. */}}
{{- define "policyhub.awsProblems" -}}
{{- $problems := list }}
{{- $partitions := include "policyhub.partitions" . | fromYaml }}
{{- $fips := include "policyhub.fipsRegions" . | fromYamlArray }}
{{- $roles := dict "securityHub.roleArn" .Values.securityHub.roleArn "serviceAccount.roleArn" .Values.serviceAccount.roleArn }}
{{- $home := (include "policyhub.securityHub" . | fromYaml).region }}
{{- $regions := list $home }}
{{- range .Values.monitoredClusters }}{{ $regions = append $regions (dig "securityHub" "region" "" .spec) }}{{ end }}
{{- range $region := $regions | compact | uniq }}
{{- if and $.Values.endpoints.fips (not (has $region $fips)) }}
{{- $problems = append $problems (printf "endpoints.fips: Security Hub and STS have FIPS endpoints in %s, not in %s, where the calls would fail: remove it, or set the URLs of such endpoints in endpoints.securityHub and endpoints.sts." (join ", " $fips) $region) }}
{{- end }}
{{- end }}
{{- range $partition, $pattern := $partitions }}
{{- if and $home (regexMatch $pattern $home) }}
{{- range $name, $arn := $roles }}
{{- $owner := and $arn (index (splitList ":" $arn) 1) }}
{{- if and $arn (ne $owner $partition) }}
{{- $problems = append $problems (printf "%s is a role of the partition %s, but %s is in %s: a role cannot be used in another partition. Set a role of %s." $name $owner $home $partition $partition) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $problems }}
{{- end }}

{{/* Objects that the chart creates. */}}
{{- define "policyhub.objectProblems" -}}
{{- $problems := list }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- $problems = append $problems "serviceMonitor and podMonitor: Prometheus would scrape the same metrics twice, and every alert would count double. Enable only one of them." }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not .Values.service.enabled) }}
{{- $problems = append $problems "serviceMonitor needs the Service: set service.enabled, or use podMonitor." }}
{{- end }}
{{- $names := list }}
{{- range .Values.monitoredClusters }}
{{- if has .name $names }}{{ $problems = append $problems (printf "monitoredClusters: %s is listed twice." .name) }}{{ end }}
{{- $names = append $names .name }}
{{- end }}
{{- range $field := list "rollUp" "enrichment" }}
{{- if and $.Values.rbac.create (not (index $.Values.rbac $field)) (index $.Values.monitoredCluster.spec $field) }}
{{- $problems = append $problems (printf "monitoredCluster.spec.%s needs the permission that rbac.%s=false removes: set both to the same value." $field $field) }}
{{- end }}
{{- end }}
{{- if and .Values.rbac.create (not .Values.rbac.finalizers) }}
{{- range include "policyhub.monitoredClusters" . | fromYamlArray }}
{{- if eq (.spec.deletionPolicy | default "Retain") "Archive" }}
{{- $problems = append $problems (printf "MonitoredCluster %s: deletionPolicy=Archive needs the permission that rbac.finalizers=false removes, and its deletion would leave the findings as they are: set rbac.finalizers=true, or deletionPolicy=Retain." .name) }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $problems }}
{{- end }}

{{/*
Ports of API servers, AWS and proxies for the NetworkPolicy: those in httpsPorts, those of the URLs that the container gets
(from proxy, endpoints or extraEnv), and that of this cluster's API server: as set, or as Helm reads it from the cluster.
Network plug-ins that check after a Service's address is translated use the last one.
*/}}
{{- define "policyhub.httpsPorts" -}}
{{- $ports := .Values.networkPolicy.httpsPorts }}
{{- range include "policyhub.env" . | fromYamlArray }}
{{- if and (regexMatch "(?i)^((https?|all)_proxy|aws_endpoint_url.*)$" .name) (regexMatch "^https?://" (toString .value)) }}
{{- $url := urlParse .value }}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (eq $url.scheme "https" | ternary "443" "80") }}
{{- $ports = append $ports (int $port) }}
{{- end }}
{{- end }}
{{- $own := include "policyhub.given" .Values.networkPolicy.apiServerPort }}
{{- if $own }}{{ $ports = append $ports (int $own) }}
{{- else if .Values.rbac.create }}{{- /* Whoever creates ClusterRoles may read this too; for others Helm might fail. */}}
{{- range (lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "kubernetes").ports }}
{{- $ports = append $ports (int .port) }}
{{- end }}
{{- end }}
{{- $once := list }}
{{- range $ports }}{{ if not (has (int .) $once) }}{{ $once = append $once (int .) }}{{ end }}{{ end }}
{{- toYaml $once }}
{{- end }}
