{{- define "telemetry.datasources" -}}
apiVersion: 1
datasources:
  - name: Prometheus
    uid: prometheus
    type: prometheus
    access: proxy
    isDefault: true
    url: {{ .Values.grafana.prometheusUrl | default (printf "http://%s-prometheus:%v" (include "telemetry.fullname" .) .Values.prometheus.port) | quote }}
  {{- if eq .Values.store.kind "influxdb" }}
  - name: InfluxDB
    uid: influxdb
    type: influxdb
    access: proxy
    url: {{ include "telemetry.influxUrl" . | quote }}
    jsonData:
      version: Flux
      organization: {{ .Values.store.influxdb.org | quote }}
      defaultBucket: {{ .Values.store.influxdb.bucket | quote }}
    secureJsonData:
      token: $INFLUXDB_TOKEN
  {{- end }}
{{- end -}}

{{- define "telemetry.dashboards" -}}
{{- $root := .root -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "telemetry.fullname" $root }}-dashboards
  labels:
    {{- include "telemetry.labels" (dict "root" $root "component" "grafana") | nindent 4 }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
data:
  {{- range $path, $_ := $root.Files.Glob "files/dashboards/*.json" }}
  {{- if or (eq $root.Values.store.kind "influxdb") (ne (base $path) "gpu-fleet.json") }}
  {{ base $path }}: | {{- $root.Files.Get $path | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end -}}
