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

{{/* Annotations of an object; empty where there are none. Called with a list: the root, the object's own. */}}
{{- define "policyhub.annotations" -}}
{{- with merge (deepCopy (last . | default dict)) (first .).Values.commonAnnotations }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* Labels of the Pod. */}}
{{- define "policyhub.podLabels" -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.podLabels) (include "policyhub.labels" . | fromYaml)) }}
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
{{- /* As container runtimes read it: the first part is a registry where it looks like the name of a host. */}}
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

{{/* Secrets for pulling the image, of this chart and of the one above it. Each may be a name. */}}
{{- define "policyhub.imagePullSecrets" -}}
{{- $secrets := list }}
{{- range concat .Values.global.imagePullSecrets .Values.imagePullSecrets }}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) }}
{{- end }}
{{- with $secrets | uniq }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* The name of this cluster's MonitoredCluster; empty where none is to be created. Fails where values are missing. */}}
{{- define "policyhub.monitoredCluster" -}}
{{- if .Values.monitoredCluster.enabled }}
{{- $cluster := or .Values.clusterName .Values.clusterArn }}
{{- $hub := .Values.securityHub }}
{{- if or $cluster $hub.accountId $hub.region .Values.monitoredCluster.spec }}
{{- $missing := list }}
{{- if not $cluster }}{{ $missing = append $missing "clusterName (or clusterArn)" }}{{ end }}
{{- if not $hub.accountId }}{{ $missing = append $missing "securityHub.accountId" }}{{ end }}
{{- if not $hub.region }}{{ $missing = append $missing "securityHub.region" }}{{ end }}
{{- if $missing }}
{{- fail (printf "\n\nThe MonitoredCluster of this cluster also needs %s.\nSet what is missing, or monitoredCluster.enabled=false to bring your own MonitoredClusters.\n" (join " and " $missing)) }}
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
