{{/* Every port named http or api of a service's pods; `job` is the service's name. */}}
{{- define "telemetry.prometheusConfig" -}}
global:
  scrape_interval: {{ .Values.prometheus.scrapeInterval }}
  evaluation_interval: {{ .Values.prometheus.scrapeInterval }}
rule_files: [alerts.yml]
scrape_configs:
  - job_name: telemetry
    {{- if .Values.tls.existingSecret }}
    scheme: https
    tls_config: {insecure_skip_verify: true} # pods are asked by address, which no certificate names
    {{- end }}
    kubernetes_sd_configs:
      - role: pod
        namespaces: {own_namespace: true}
    relabel_configs:
      - source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_instance]
        regex: {{ .Release.Name }}
        action: keep
      - source_labels: [__meta_kubernetes_pod_container_name]
        regex: broker|proxy|collector|api|streamer
        action: keep
      - source_labels: [__meta_kubernetes_pod_container_port_name]
        regex: http|api
        action: keep
      - {source_labels: [__meta_kubernetes_pod_container_name], target_label: job}
      - {source_labels: [__meta_kubernetes_pod_name], target_label: instance}
{{- end -}}

{{/*
The alerts; with a place where docs/operations.md is served, each has the link that pagers show.
Without brokers of our own none of those is missed.
*/}}
{{- define "telemetry.alerts" -}}
{{- $alerts := .Files.Get "files/alerts.yml" -}}
{{- with .Values.monitoring.runbookUrl -}}
{{- $alerts = $alerts | replace "runbook: docs/operations.md" (printf "runbook_url: %s" .) -}}
{{- end -}}
{{- if include "telemetry.engine" . -}}
{{- $alerts = $alerts | replace "absent(up{job=\"broker\"}) or absent(up{job=\"proxy\"}) or " "" -}}
{{- end -}}
{{- $alerts -}}
{{- end -}}
