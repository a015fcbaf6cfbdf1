{{- define "policyhub.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "policyhub.fullname" -}}
{{- $name := include "policyhub.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "policyhub.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "policyhub.selectorLabels" -}}
app.kubernetes.io/name: {{ include "policyhub.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "policyhub.labels" -}}
{{- $labels := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_")
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service }}
{{- $own := mergeOverwrite $labels (include "policyhub.selectorLabels" . | fromYaml) }}
{{- toYaml (mergeOverwrite (deepCopy .Values.commonLabels) $own) }}
{{- end }}

{{/* Annotations of an object; empty if there are none. Called with a list: the root, the object's own. */}}
{{- define "policyhub.annotations" -}}
{{- with merge (deepCopy (last . | default dict)) (first .).Values.commonAnnotations }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* Labels of the Pod. */}}
{{- define "policyhub.podLabels" -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.podLabels) (include "policyhub.labels" . | fromYaml)) }}
{{- end }}

{{/*
Not empty if the Pods use a Lease. With RollingUpdate a Deployment without replicas uses it too, so that it can be scaled
up again: see policyhub.replicaProblems.
*/}}
{{- define "policyhub.lease" -}}
{{- $replicas := int .Values.replicaCount }}
{{- if or (gt $replicas 1) (and (eq $replicas 0) (eq .Values.updateStrategy.type "RollingUpdate")) }}lease{{ end }}
{{- end }}

{{- define "policyhub.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "policyhub.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "policyhub.image" -}}
{{- $registry := or .Values.global.imageRegistry .Values.image.registry }}
{{- $parts := splitList "/" .Values.image.repository }}
{{- /* As in container runtimes: the first part is a registry if it looks like a host name. */}}
{{- if and $registry (gt (len $parts) 1) (or (contains "." (first $parts)) (contains ":" (first $parts)) (eq (first $parts) "localhost")) }}
{{- $parts = rest $parts }}
{{- end }}
{{- $repository := concat (list $registry | compact) $parts | join "/" }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* Secrets for pulling the image, of this chart and of its parent chart. Each may be a name. */}}
{{- define "policyhub.imagePullSecrets" -}}
{{- $secrets := list }}
{{- range concat .Values.global.imagePullSecrets .Values.imagePullSecrets }}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) }}
{{- end }}
{{- with $secrets | uniq }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* The Security Hub of the findings: empty values of securityHub come from the ARN of the cluster (arn:aws:eks:REGION:ACCOUNT:cluster/NAME). */}}
{{- define "policyhub.securityHub" -}}
{{- $hub := deepCopy .Values.securityHub }}
{{- if .Values.clusterArn }}
{{- $arn := splitList ":" .Values.clusterArn }}
{{- if not $hub.region }}{{ $_ := set $hub "region" (index $arn 3) }}{{ end }}
{{- if not $hub.accountId }}{{ $_ := set $hub "accountId" (index $arn 4) }}{{ end }}
{{- end }}
{{- toYaml $hub }}
{{- end }}

{{/* The name of this cluster's MonitoredCluster; empty if none is to be created. Fails if values are missing. */}}
{{- define "policyhub.monitoredCluster" -}}
{{- if .Values.monitoredCluster.enabled }}
{{- $cluster := or .Values.clusterName .Values.clusterArn }}
{{- $hub := include "policyhub.securityHub" . | fromYaml }}
{{- if or $cluster $hub.accountId $hub.region .Values.monitoredCluster.spec }}
{{- $missing := list }}
{{- if not $cluster }}{{ $missing = append $missing "clusterName" }}{{ end }}
{{- if not $hub.accountId }}{{ $missing = append $missing "securityHub.accountId" }}{{ end }}
{{- if not $hub.region }}{{ $missing = append $missing "securityHub.region" }}{{ end }}
{{- if $missing }}
{{- include "policyhub.checkNames" . }}{{- /* A missing value may be set under another name. */}}
{{- fail (printf "\n\nThe values do not say which cluster this is, or where its findings go. For an EKS cluster set clusterArn, which contains both:\n\n  --set clusterArn=arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu\n\nFor any other cluster also set %s. Or set monitoredCluster.enabled=false to create your own MonitoredClusters.\n" (join " and " $missing)) }}
{{- end }}
{{- if .Values.clusterName }}
{{- .Values.clusterName }}
{{- else }}
{{- /* EKS allows letters and characters in a name that Kubernetes does not. */}}
{{- .Values.clusterArn | splitList "/" | last | lower | replace "_" "-" | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* All MonitoredClusters of the release, each with its name and spec: this cluster's own first. */}}
{{- define "policyhub.monitoredClusters" -}}
{{- $clusters := .Values.monitoredClusters | default list }}
{{- with include "policyhub.monitoredCluster" . }}
{{- $clusters = prepend $clusters (dict "name" . "spec" ($.Values.monitoredCluster.spec | default dict)) }}
{{- end }}
{{- toYaml $clusters }}
{{- end }}

{{/*
Renders nothing. Fails an upgrade that would give this cluster another identity: with the same name the API server would
reject it, and with another name Helm would replace the object without a message. If Helm has no cluster to ask, nothing
is compared.
*/}}
{{- define "policyhub.sameIdentity" -}}
{{- if and .Release.IsUpgrade .Values.crds.check (.Capabilities.APIVersions.Has "policyhub.dev/v1alpha1") }}
{{- $wanted := .Values.clusterArn | default (include "policyhub.monitoredCluster" .) }}
{{- $others := list }}
{{- range .Values.monitoredClusters }}{{ $others = append $others .name }}{{ end }}
{{- range (lookup "policyhub.dev/v1alpha1" "MonitoredCluster" "" "").items }}
{{- $ours := eq $.Release.Name (dig "metadata" "labels" "app.kubernetes.io/instance" "" .) }}
{{- $identity := dig "spec" "clusterArn" .metadata.name . }}
{{- if and $ours (hasKey .spec.connection "inCluster") (not (has .metadata.name $others)) (not .metadata.deletionTimestamp) (ne $identity $wanted) }}
{{- $keep := dig "spec" "clusterArn" "" . | empty | ternary (printf "clusterArn= and clusterName=%s" .metadata.name) (printf "clusterArn=%s" $identity) }}
{{- fail (printf "\n\nMonitoredCluster %s has the identity %s, and these values would change it to %s. The identity is part of every finding's id: all findings would be created again, and the old ones would stay active. Nothing was changed.\n\n  To keep it:    set %s\n  To change it:  kubectl delete monitoredcluster %s, then this upgrade again, then policyhub retire %s --identity %s\n\nThe page \"Identity\" of the documentation (docs/identity.md) has the steps, and how to keep triage.\n" .metadata.name $identity $wanted $keep .metadata.name (include "policyhub.monitoredCluster" $) $identity) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Labels of a MonitoredCluster, so that this release handles it. Called with a list: the root, its own labels. */}}
{{- define "policyhub.monitoredClusterLabels" -}}
{{- $root := first . }}
{{- $own := include "policyhub.labels" $root | fromYaml }}
{{- toYaml (mergeOverwrite (deepCopy (last . | default dict)) $own $root.Values.watchSelector) }}
{{- end }}

{{/* Names of the Secrets that the operator may read, by namespace. */}}
{{- define "policyhub.kubeconfigSecrets" -}}
{{- $wanted := .Values.kubeconfigSecrets }}
{{- range .Values.monitoredClusters }}
{{- with .spec.connection.kubeconfigSecretRef }}
{{- $wanted = append $wanted . }}
{{- end }}
{{- end }}
{{- $secrets := dict }}
{{- range $wanted }}
{{- $_ := set $secrets .namespace (append (get $secrets .namespace | default list) .name | uniq | sortAlpha) }}
{{- end }}
{{- toYaml $secrets }}
{{- end }}

{{- define "policyhub.subject" -}}
- kind: ServiceAccount
  name: {{ include "policyhub.serviceAccountName" . }}
  namespace: {{ include "policyhub.namespace" . }}
{{- end }}
