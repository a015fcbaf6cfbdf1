{{/* Name of both objects. */}}
{{- define "policyhub-access.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}
{{- .Release.Name }}
{{- else }}
{{- printf "%s-%s" .Release.Name .Chart.Name }}
{{- end }}
{{- end }}

{{- define "policyhub-access.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* The group; fails if it has members other than the operator. */}}
{{- define "policyhub-access.group" -}}
{{- $group := required "\n\nNo group is set, so nobody would get these permissions. Set the group of the operator's access entry:\n\n  --set group=policyhub\n" .Values.group }}
{{- if regexMatch "(?i)^(system|eks|aws|amazon|iam):" $group }}
{{- fail (printf "\n\nThe group %s cannot be used: groups that begin with system:, eks:, aws:, amazon: or iam: belong to Kubernetes and AWS, and their other members would get these permissions too. Nothing was installed.\n\nSet a group that only the operator has, the one of its access entry:\n\n  --set group=policyhub\n" $group) }}
{{- end }}
{{- $group }}
{{- end }}
