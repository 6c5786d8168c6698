{{- define "plimsoll.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "plimsoll.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "plimsoll.name" . -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- $full | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "plimsoll.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "plimsoll.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "plimsoll.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "plimsoll.selectorLabels" -}}
app.kubernetes.io/name: {{ include "plimsoll.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "plimsoll.labels" -}}
{{ include "plimsoll.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.customLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The metadata of an object, to be called with (list . NAME), or with (list . NAME NAMESPACE). */}}
{{- define "plimsoll.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
{{- if eq (len .) 3 }}
namespace: {{ index . 2 }}
{{- end }}
labels:
  {{- include "plimsoll.labels" $root | nindent 2 }}
{{- with $root.Values.customAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "plimsoll.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "plimsoll.serviceAccountName" . }}
    namespace: {{ include "plimsoll.namespace" . }}
{{- end -}}

{{/* Whether the certificates are Plimsoll's own affair: "true" or nothing. */}}
{{- define "plimsoll.selfManaged" -}}
{{- if not (or .Values.tls.enable .Values.certManager.enabled) -}}
true
{{- end -}}
{{- end -}}

{{/* The versions that are registered: a YAML list of {group, version, versionPriority}. */}}
{{- define "plimsoll.apiServices" -}}
{{- $rules := .Values.rules -}}
{{- $set := .Values.apiServices -}}
{{- $custom := kindIs "bool" $set.custom | ternary $set.custom (not (empty (or $rules.default $rules.custom))) -}}
{{- $external := kindIs "bool" $set.external | ternary $set.external (not (empty $rules.external)) -}}
{{- $resource := kindIs "bool" $set.resource | ternary $set.resource (not (empty $rules.resource)) -}}
{{- if $custom }}
- {group: custom.metrics.k8s.io, version: v1beta2, versionPriority: 200}
- {group: custom.metrics.k8s.io, version: v1beta1, versionPriority: 100}
{{- end }}
{{- if $external }}
- {group: external.metrics.k8s.io, version: v1beta1, versionPriority: 100}
{{- end }}
{{- if $resource }}
- {group: metrics.k8s.io, version: v1beta1, versionPriority: 100}
{{- end }}
{{- if $set.insight }}
- {group: insight.plimsoll.dev, version: v1alpha1, versionPriority: 100}
{{- end }}
{{- end -}}
