{{/*
The container's environment. A variable in extraEnv replaces the chart's own: a name may occur only once.
*/}}
{{- define "policyhub.env" -}}
{{- $env := list }}
{{- with include "policyhub.securityHub" . | fromYaml }}
{{- if .accountId }}{{ $env = append $env (dict "name" "POLICYHUB_ACCOUNT_ID" "value" .accountId) }}{{ end }}
{{- if .region }}
{{- $env = append $env (dict "name" "POLICYHUB_REGION" "value" .region) }}
{{- $env = append $env (dict "name" "AWS_REGION" "value" .region) }}
{{- end }}
{{- if and .roleArn .accountId }}
{{- $owner := index (splitList ":" .roleArn) 4 }}
{{- if ne $owner .accountId }}
{{- fail (printf "\n\nsecurityHub.roleArn is a role of account %s, but the findings go to account %s (securityHub.accountId, or else that of clusterArn). Security Hub accepts an account's findings only from identities of the same account.\n" $owner .accountId) }}
{{- end }}
{{- end }}
{{- if .roleArn }}{{ $env = append $env (dict "name" "POLICYHUB_ROLE_ARN" "value" .roleArn) }}{{ end }}
{{- if .externalId }}{{ $env = append $env (dict "name" "POLICYHUB_EXTERNAL_ID" "value" .externalId) }}{{ end }}
{{- end }}
{{- with .Values.endpoints }}
{{- if .securityHub }}{{ $env = append $env (dict "name" "AWS_ENDPOINT_URL_SECURITYHUB" "value" .securityHub) }}{{ end }}
{{- if .sts }}{{ $env = append $env (dict "name" "AWS_ENDPOINT_URL_STS" "value" .sts) }}{{ end }}
{{- if and .fips (or .securityHub .sts) }}
{{- fail "\n\nendpoints: the AWS SDK accepts no URL together with fips. Set the URL of a FIPS endpoint, with fips=false.\n" }}
{{- end }}
{{- if .fips }}{{ $env = append $env (dict "name" "AWS_USE_FIPS_ENDPOINT" "value" "true") }}{{ end }}
{{- end }}
{{- with .Values.proxy }}
{{- if or .https .http }}
{{- if .https }}{{ $env = append $env (dict "name" "HTTPS_PROXY" "value" .https) }}{{ end }}
{{- if .http }}{{ $env = append $env (dict "name" "HTTP_PROXY" "value" .http) }}{{ end }}
{{- /* The kubelet inserts the API server's address. The others are sources of credentials in EKS and EC2. */}}
{{- $direct := list "$(KUBERNETES_SERVICE_HOST)" "169.254.170.23" "fd00:ec2::23" "169.254.169.254" }}
{{- if .noProxy }}{{ $direct = append $direct .noProxy }}{{ end }}
{{- $env = append $env (dict "name" "NO_PROXY" "value" (join "," $direct)) }}
{{- end }}
{{- end }}
{{- if include "policyhub.caVolume" . }}
{{- $path := printf "/run/policyhub/ca/%s" .Values.caBundle.key }}
{{- $env = append $env (dict "name" "AWS_CA_BUNDLE" "value" $path) }}
{{- $env = append $env (dict "name" "SSL_CERT_FILE" "value" $path) }}
{{- end }}
{{- if include "policyhub.lease" . }}
{{- $env = append $env (dict "name" "POLICYHUB_LEASE" "value" (printf "%s/%s" (include "policyhub.namespace" .) (include "policyhub.fullname" .))) }}
{{- $env = append $env (dict "name" "POD_NAME" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.name"))) }}
{{- end }}
{{- if .Values.watchSelector }}
{{- $terms := list }}
{{- range $key, $value := .Values.watchSelector }}{{ $terms = append $terms (printf "%s=%s" $key $value) }}{{ end }}
{{- $env = append $env (dict "name" "POLICYHUB_WATCH_SELECTOR" "value" (join "," $terms)) }}
{{- end }}
{{- if .Values.clusterDiscovery.enabled }}{{ $env = append $env (dict "name" "POLICYHUB_CLUSTER_DISCOVERY" "value" "true") }}{{ end }}
{{- $env = append $env (dict "name" "POLICYHUB_METRICS_PORT" "value" "8080") }}
{{- $env = append $env (dict "name" "POLICYHUB_LOG_LEVEL" "value" .Values.log.level) }}
{{- $env = append $env (dict "name" "POLICYHUB_LOG_FORMAT" "value" .Values.log.format) }}
{{- range $name, $value := .Values.settings }}
{{- $env = append $env (dict "name" (printf "POLICYHUB_%s" ($name | snakecase | upper)) "value" ($value | toJson | trimAll "\"")) }}
{{- end }}
{{- $given := list }}
{{- range .Values.extraEnv }}{{ $given = append $given .name }}{{ end }}
{{- $all := list }}
{{- range $env }}{{ if not (has .name $given) }}{{ $all = append $all . }}{{ end }}{{ end }}
{{- toYaml (concat $all .Values.extraEnv) }}
{{- end }}

{{/* The volume of the CA bundle; empty if there is none. */}}
{{- define "policyhub.caVolume" -}}
{{- with .Values.caBundle }}
{{- if and .configMap .secret }}
{{- fail "\n\ncaBundle: set configMap or secret, not both.\n" }}
{{- else if .configMap }}
name: ca-bundle
configMap:
  name: {{ .configMap }}
  items: [{key: {{ .key }}, path: {{ .key }}}]
{{- else if .secret }}
name: ca-bundle
secret:
  secretName: {{ .secret }}
  items: [{key: {{ .key }}, path: {{ .key }}}]
{{- end }}
{{- end }}
{{- end }}
