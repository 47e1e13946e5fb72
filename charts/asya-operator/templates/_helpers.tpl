{{- define "asya.labels" -}}
app.kubernetes.io/name: asya-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "asya.selector" -}}
app.kubernetes.io/name: asya-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "asya.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "asya.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "asya.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* What both processes must agree on. */}}
{{- define "asya.environment" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- {name: ASYA_LOG_LEVEL, value: {{ .Values.logLevel | quote }}}
- {name: ASYA_LOG_FORMAT, value: {{ .Values.logFormat | quote }}}
- {name: ASYA_METRICS_PORT, value: {{ .Values.metrics.port | quote }}}
- {name: ASYA_SIDECAR_IMAGE, value: {{ .Values.sidecar.image | quote }}}
- {name: ASYA_SIDECAR_GENERATION, value: {{ .Values.sidecar.generation | quote }}}
- {name: ASYA_SIDECAR_IMAGE_PULL_POLICY, value: {{ .Values.sidecar.imagePullPolicy | quote }}}
- {name: ASYA_SIDECAR_RESOURCES, value: {{ .Values.sidecar.defaultResources | toJson | quote }}}
- {name: ASYA_SIDECAR_METRICS_PORT, value: {{ .Values.sidecar.metricsPort | quote }}}
- {name: ASYA_SIDECAR_LOG_LEVEL, value: {{ .Values.sidecar.logLevel | quote }}}
- {name: ASYA_GATEWAY_URL, value: {{ .Values.sidecar.gatewayUrl | quote }}}
- {name: ASYA_SIDECAR_RUN_AS_USER, value: {{ .Values.sidecar.runAsUser | int64 | quote }}}
- {name: ASYA_SOCKET_ACTIVATION, value: {{ .Values.sidecar.socketActivation | quote }}}
- {name: ASYA_OTEL_ENDPOINT, value: {{ .Values.sidecar.otel.endpoint | quote }}}
- {name: ASYA_OTEL_PROTOCOL, value: {{ .Values.sidecar.otel.protocol | quote }}}
- {name: ASYA_RUNTIME_PORT, value: {{ .Values.runtime.port | quote }}}
- {name: ASYA_RUNTIME_NAMESPACE, value: {{ .Values.runtime.namespace | default .Release.Namespace | quote }}}
- {name: ASYA_RUNTIME_ROLLOUT, value: {{ .Values.runtime.rollout | quote }}}
- {name: ASYA_CERTS_SECRET, value: {{ .Values.certs.secretName | quote }}}
{{- end }}

{{- define "asya.clientConfig" -}}
{{- if .root.Values.webhook.url }}
url: {{ printf "%s%s" (trimSuffix "/" .root.Values.webhook.url) .path | quote }}
{{- else }}
service:
  name: asya-operator-webhook
  namespace: {{ .root.Release.Namespace }}
  path: {{ .path }}
  port: 443
{{- end }}
{{- end }}

{{- define "asya.configurationAnnotations" -}}
{{- if eq .Values.certs.mode "cert-manager" }}
annotations:
  cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/asya-operator-webhook
{{- end }}
{{- end }}

{{- define "asya.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Names that the webhook is reached by. */}}
{{- define "asya.names" -}}
asya-operator-webhook.{{ .Release.Namespace }}.svc
{{- with .Values.webhook.url }},{{ regexReplaceAll ":[0-9]+$" (urlParse .).host "" }}{{ end }}
{{- end }}
