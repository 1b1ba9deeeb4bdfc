{{/* The API's container: in pods of its own, or beside the collector over the same file. */}}
{{- define "telemetry.apiContainer" -}}
{{- $own := merge (dict "API_KEYS_FILE" "/secrets/auth/api-keys.json") (include "telemetry.queueOptions" . | fromYaml) (include "telemetry.storeOptions" . | fromYaml) -}}
- name: api
  image: {{ include "telemetry.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [telemetry, api]
  env:
    {{- include "telemetry.environment" (dict "root" . "values" .Values.api "own" $own) | nindent 4 }}
  ports:
    - {name: api, containerPort: {{ .Values.api.port }}}
  {{- include "telemetry.probes" (dict "root" . "port" "api" "values" .Values.api) | nindent 2 }}
  {{- include "telemetry.lifecycle" . | nindent 2 }}
  resources: {{- toYaml .Values.api.resources | nindent 4 }}
  {{- include "telemetry.containerSecurity" . | nindent 2 }}
  volumeMounts:
    {{- include "telemetry.mounts" . | nindent 4 }}
    {{- if include "telemetry.embedded" . }}
    - {name: data, mountPath: /data}
    {{- end }}
    {{- include "telemetry.storeMount" . | nindent 4 }}
{{- end -}}
