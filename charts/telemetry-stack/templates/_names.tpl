{{- define "telemetry.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The start of every name; short, since a StatefulSet's pods and claims put more behind it. */}}
{{- define "telemetry.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains "telemetry" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-telemetry" (.Release.Name | trunc 30 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "telemetry.selector" -}}
app.kubernetes.io/name: {{ include "telemetry.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "telemetry.labels" -}}
{{ include "telemetry.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "telemetry.image" -}}
{{- $i := .Values.image -}}
{{- if $i.digest -}}
{{ $i.repository }}@{{ $i.digest }}
{{- else -}}
{{ $i.repository }}:{{ $i.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "telemetry.authSecret" -}}
{{- .Values.auth.existingSecret | default (printf "%s-auth" (include "telemetry.fullname" .)) -}}
{{- end -}}

{{- define "telemetry.influxSecret" -}}
{{- if .Values.influxdb.enabled -}}
{{- .Values.influxdb.existingSecret | default (printf "%s-influxdb" (include "telemetry.fullname" .)) -}}
{{- else -}}
{{- .Values.store.influxdb.existingSecret -}}
{{- end -}}
{{- end -}}

{{- define "telemetry.grafanaSecret" -}}
{{- .Values.grafana.existingSecret | default (printf "%s-grafana" (include "telemetry.fullname" .)) -}}
{{- end -}}

{{- define "telemetry.influxUrl" -}}
{{- if .Values.influxdb.enabled -}}
http://{{ include "telemetry.fullname" . }}-influxdb:{{ .Values.influxdb.port }}
{{- else -}}
{{- .Values.store.influxdb.url -}}
{{- end -}}
{{- end -}}

{{- define "telemetry.scheme" -}}
{{- if .Values.tls.existingSecret -}}https{{- else -}}http{{- end -}}
{{- end -}}

{{/* Whether the queue is somebody else's engine; nothing when it is our own brokers. */}}
{{- define "telemetry.engine" -}}
{{- if and .Values.queue.url .Values.queue.existingSecret -}}
{{- fail "queue.url, queue.existingSecret: give one of them" -}}
{{- end -}}
{{- if and .Values.queue.ca (not .Values.queue.existingSecret) -}}
{{- fail "queue.ca: it is in the secret of queue.existingSecret" -}}
{{- end -}}
{{- .Values.queue.url | default .Values.queue.existingSecret -}}
{{- end -}}

{{/* Where the queue is, for those who speak to it. */}}
{{- define "telemetry.queueOptions" -}}
{{- if .Values.queue.existingSecret -}}
QUEUE_URL_FILE: /secrets/queue/url
{{- else -}}
QUEUE_URL: {{ .Values.queue.url | default (include "telemetry.proxyUrl" .) | quote }}
{{- end }}
MSG_QUEUE_TOPIC: {{ .Values.topic | quote }}
{{- end -}}

{{- define "telemetry.proxyUrl" -}}
{{ include "telemetry.scheme" . }}://{{ include "telemetry.fullname" . }}-proxy:{{ .Values.proxy.port }}
{{- end -}}

{{/* Which pods the API runs in. */}}
{{- define "telemetry.apiComponent" -}}
{{- if include "telemetry.embedded" . -}}collector{{- else -}}api{{- end -}}
{{- end -}}

{{/* Whether the store lies on the collector's disk: not empty then. */}}
{{- define "telemetry.embedded" -}}
{{- if has .Values.store.kind (list "sqlite" "jsonl") -}}yes{{- end -}}
{{- end -}}

{{/* The secret of a store's server; empty when it asks for none. */}}
{{- define "telemetry.storeSecret" -}}
{{- if eq .Values.store.kind "influxdb" -}}
{{- include "telemetry.influxSecret" . -}}
{{- else if eq .Values.store.kind "victoriametrics" -}}
{{- .Values.store.victoriametrics.existingSecret -}}
{{- end -}}
{{- end -}}
