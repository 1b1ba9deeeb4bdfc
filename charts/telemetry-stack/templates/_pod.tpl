{{/* What the pods of every component have in common. Takes root, component, values. */}}
{{- define "telemetry.podSettings" -}}
serviceAccountName: {{ include "telemetry.fullname" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds | default 30 }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user | default 10001 }}
  runAsGroup: {{ .user | default 10001 }}
  fsGroup: {{ .user | default 10001 }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
{{- if .values.affinity }}
  {{- toYaml .values.affinity | nindent 2 }}
{{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {{- include "telemetry.selector" . | nindent 14 }}
{{- end }}
{{- end -}}

{{- define "telemetry.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{/* Values as text: Helm reads whole numbers as floats and would write 3.3554432e+07. */}}
{{- define "telemetry.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- printf "%d" (int64 .) -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* The environment of a service. Takes root, values, and `own`: what the chart works out. */}}
{{- define "telemetry.environment" -}}
{{- $all := mergeOverwrite (dict) .root.Values.options .values.options .own -}}
- name: HOST
  value: "0.0.0.0"
- name: PORT
  value: {{ .port | default .values.port | toString | quote }}
- name: SERVICE_TOKEN_FILE
  value: /secrets/auth/service-token
{{- include "telemetry.tlsEnvironment" .root }}
{{- range $name, $value := $all }}
- name: {{ $name }}
  value: {{ include "telemetry.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* The certificate to serve with, and whom to believe. */}}
{{- define "telemetry.tlsEnvironment" -}}
{{- if .Values.tls.existingSecret }}
- {name: TLS_CERT_FILE, value: /secrets/tls/tls.crt}
- {name: TLS_KEY_FILE, value: /secrets/tls/tls.key}
{{- end }}
{{- include "telemetry.caEnvironment" . }}
{{- end -}}

{{- define "telemetry.caEnvironment" -}}
{{- if .Values.queue.ca }}
- {name: TLS_CA_FILE, value: /secrets/queue/ca.crt}
{{- else if .Values.tls.existingSecret }}
- {name: TLS_CA_FILE, value: /secrets/tls/ca.crt}
{{- end }}
{{- end -}}

{{/* Where the store is, for those who open it. */}}
{{- define "telemetry.storeOptions" -}}
STORE: {{ .Values.store.kind }}
{{- if eq .Values.store.kind "sqlite" }}
SQLITE_PATH: /data/telemetry.db
{{- else if eq .Values.store.kind "jsonl" }}
JSONL_PATH: /data/jsonl
{{- else if eq .Values.store.kind "victoriametrics" }}
{{- with .Values.store.victoriametrics }}
VICTORIAMETRICS_URL: {{ .url | quote }}
VICTORIAMETRICS_INSERT_URL: {{ .insertUrl | quote }}
VICTORIAMETRICS_SELECT_URL: {{ .selectUrl | quote }}
VICTORIAMETRICS_USERNAME: {{ .username | quote }}
{{- if .existingSecret }}
{{ ternary "VICTORIAMETRICS_PASSWORD_FILE" "VICTORIAMETRICS_TOKEN_FILE" (ne .username "") }}: /secrets/store/{{ ternary "password" "token" (ne .username "") }}
{{- end }}
{{- end }}
{{- else }}
INFLUXDB_URL: {{ include "telemetry.influxUrl" . | quote }}
INFLUXDB_ORG: {{ .Values.store.influxdb.org | quote }}
INFLUXDB_BUCKET: {{ .Values.store.influxdb.bucket | quote }}
INFLUXDB_TOKEN_FILE: /secrets/store/token
{{- end }}
{{- range $name, $value := .Values.store.options }}
{{ $name }}: {{ include "telemetry.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* Probes of a service: it listens once it has recovered what lies on its disk. */}}
{{- define "telemetry.probes" -}}
{{- $_ := set . "scheme" (include "telemetry.scheme" .root | upper) -}}
startupProbe:
  httpGet: {path: /health, port: {{ .port }}, scheme: {{ .scheme }}}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: {{ div (add .values.startupSeconds 1) 2 }}
readinessProbe:
  httpGet: {path: /ready, port: {{ .port }}, scheme: {{ .scheme }}}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /health, port: {{ .port }}, scheme: {{ .scheme }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{/* A pod that stops is taken off its Service first: requests that are on their way still find it. */}}
{{- define "telemetry.lifecycle" -}}
lifecycle:
  preStop:
    exec: {command: [sleep, "5"]}
{{- end -}}

{{- define "telemetry.mounts" -}}
{{- if .Values.tls.existingSecret -}}
- {name: tls, mountPath: /secrets/tls, readOnly: true}
{{ end -}}
{{- if .Values.queue.existingSecret -}}
- {name: queue, mountPath: /secrets/queue, readOnly: true}
{{ end -}}
- {name: auth, mountPath: /secrets/auth, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- end -}}

{{- define "telemetry.volumes" -}}
{{- with .root.Values.tls.existingSecret -}}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - {key: tls.crt, path: tls.crt}
      - {key: tls.key, path: tls.key}
      - {key: ca.crt, path: ca.crt}
{{ end -}}
{{- with .root.Values.queue.existingSecret -}}
- name: queue
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - {key: url, path: url}
      {{- if $.root.Values.queue.ca }}
      - {key: ca.crt, path: ca.crt}
      {{- end }}
{{ end -}}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
- name: auth
  secret:
    secretName: {{ include "telemetry.authSecret" .root }}
    defaultMode: 0440
    items:
      - {key: service-token, path: service-token}
      {{- if .keys }}
      - {key: api-keys.json, path: api-keys.json}
      {{- end }}
{{- end -}}

{{/* The credentials of a store's server, for those who open it. */}}
{{- define "telemetry.storeVolume" -}}
{{- with include "telemetry.storeSecret" . }}
- name: store
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    {{- $user := and (eq $.Values.store.kind "victoriametrics") (ne $.Values.store.victoriametrics.username "") }}
    {{- $key := ternary "password" "token" $user }}
    items: [{key: {{ $key }}, path: {{ $key }}}]
{{- end }}
{{- end -}}

{{- define "telemetry.storeMount" -}}
{{- if include "telemetry.storeSecret" . }}
- {name: store, mountPath: /secrets/store, readOnly: true}
{{- end }}
{{- end -}}

{{/* A claim of a StatefulSet. Takes root, component, persistence. */}}
{{- define "telemetry.claim" -}}
- metadata:
    name: data
    labels: {{- include "telemetry.selector" . | nindent 6 }}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .persistence.storageClass }}
    storageClassName: {{ . | quote }}
    {{- end }}
    resources:
      requests: {storage: {{ .persistence.size | quote }}}
{{- end -}}

{{- define "telemetry.podMetadata" -}}
metadata:
  labels: {{- include "telemetry.labels" . | nindent 4 }}
  {{- with .values.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "telemetry.pdb" -}}
{{- if .values.pdb.enabled }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "telemetry.fullname" .root }}-{{ .component }}
  labels: {{- include "telemetry.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "telemetry.selector" . | nindent 6 }}
{{- end }}
{{- end -}}

{{- define "telemetry.hpa" -}}
{{- if .values.autoscaling.enabled }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "telemetry.fullname" .root }}-{{ .component }}
  labels: {{- include "telemetry.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "telemetry.fullname" .root }}-{{ .component }}
  minReplicas: {{ .values.autoscaling.minReplicas }}
  maxReplicas: {{ .values.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ .values.autoscaling.cpuPercent }}}
{{- end }}
{{- end -}}

{{- define "telemetry.headless" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "telemetry.fullname" .root }}-{{ .component }}
  labels: {{- include "telemetry.labels" . | nindent 4 }}
spec:
  clusterIP: None
  # The proxy finds each broker by name and asks it itself: names are there from the start.
  publishNotReadyAddresses: true
  selector: {{- include "telemetry.selector" . | nindent 4 }}
  ports:
    - {name: http, port: {{ .values.port }}, targetPort: http}
{{- end -}}

{{- define "telemetry.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "telemetry.fullname" .root }}-{{ .component }}
  labels: {{- include "telemetry.labels" . | nindent 4 }}
  {{- with .values.service.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .values.service.type }}
  selector: {{- include "telemetry.selector" (dict "root" .root "component" (.pods | default .component)) | nindent 4 }}
  ports:
    - {name: http, port: {{ .values.port }}, targetPort: {{ .target | default "http" }}}
{{- end -}}
