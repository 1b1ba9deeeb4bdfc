{{/* Everyone, or those who are named and the chart's own. */}}
{{- define "telemetry.apiPeers" -}}
{{- if .Values.networkPolicy.apiFrom -}}
from:
  - podSelector:
      matchLabels:
        app.kubernetes.io/name: {{ include "telemetry.name" . }}
        app.kubernetes.io/instance: {{ .Release.Name }}
  {{- toYaml (concat .Values.networkPolicy.apiFrom .Values.networkPolicy.metricsFrom) | nindent 2 }}
{{- else -}}
from: []
{{- end -}}
{{- end -}}
