{{/* Gives each missing value its default. Every template starts with it.
A value is missing if it is null, or if the values are those of an older chart (helm upgrade --reuse-values). For a list, and
for a map whose entries the user chooses, null means empty. So null can remove a field of a security context. */}}
{{- define "asya.init" -}}
{{- $older := ne (toString .Values.chartVersion) .Chart.Version -}}
{{- include "asya.fill" (dict "into" .Values "from" (.Files.Get "files/defaults.yaml" | fromYaml) "all" $older) -}}
{{- $_ := set .Values "chartVersion" .Chart.Version -}}
{{- end }}

{{/* Parameters: into, from; all: whether lists and maps that the user fills get their defaults too */}}
{{- define "asya.fill" -}}
{{- $users := list "podSecurityContext" "securityContext" "resources" "defaultResources" "updateStrategy" "livenessProbe" "readinessProbe" "labels" -}}
{{- range $key, $default := .from -}}
{{- $open := and (not $.all) (or (kindIs "slice" $default) (has $key $users)) -}}
{{- if not (hasKey $.into $key) -}}
{{- $_ := set $.into $key ($open | ternary (kindIs "slice" $default | ternary list dict) $default) -}}
{{- else if and (kindIs "map" $default) (kindIs "map" (get $.into $key)) (not $open) -}}
{{- include "asya.fill" (dict "into" (get $.into $key) "from" $default "all" $.all) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "asya.name" -}}
{{ .Values.nameOverride | default "asya-operator" }}
{{- end }}

{{- define "asya.fullname" -}}
{{ .Values.fullnameOverride | default (include "asya.name" .) }}
{{- end }}

{{/* Labels of every object. The chart's own labels override commonLabels, because selectors need them. */}}
{{- define "asya.labels" -}}
{{- $version := dict "app.kubernetes.io/version" .Chart.AppVersion "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version) -}}
{{- $manager := dict "app.kubernetes.io/managed-by" .Release.Service -}}
{{ merge (include "asya.selector" . | fromYaml) $version $manager .Values.commonLabels | toYaml }}
{{- end }}

{{/* The same labels, plus a component, or labels that override them. Parameters: root, component, labels */}}
{{- define "asya.labelsWith" -}}
{{- $component := empty .component | ternary dict (dict "app.kubernetes.io/component" .component) -}}
{{ merge $component (deepCopy (.labels | default dict)) (include "asya.labels" .root | fromYaml) | toYaml }}
{{- end }}

{{- define "asya.selector" -}}
app.kubernetes.io/name: {{ include "asya.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* An image. If global.imageRegistry is set, it replaces the registry of the image. Parameters: root, image */}}
{{- define "asya.inRegistry" -}}
{{- $registry := (.root.Values.global).imageRegistry -}}
{{- if $registry -}}
{{- $first := splitList "/" .image | first -}}
{{- $named := and (contains "/" .image) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{ trimSuffix "/" $registry }}/{{ $named | ternary (trimPrefix (printf "%s/" $first) .image) .image }}
{{- else -}}
{{ .image }}
{{- end -}}
{{- end }}

{{- define "asya.image" -}}
{{- $image := .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- $image = printf "%s@%s" $image .Values.image.digest -}}
{{- else -}}
{{- $image = printf "%s:%s" $image (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{ include "asya.inRegistry" (dict "root" . "image" $image) }}
{{- end }}

{{/* The pull secrets of imagePullSecrets and global.imagePullSecrets, as names or as objects with a name. */}}
{{- define "asya.imagePullSecrets" -}}
{{- $names := list -}}
{{- range concat .Values.imagePullSecrets ((.Values.global).imagePullSecrets | default list) -}}
{{- $names = append $names (kindIs "string" . | ternary . (get (kindIs "map" . | ternary . dict) "name")) -}}
{{- end -}}
{{- with $names | uniq }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Names of the processes' ServiceAccounts. */}}
{{- define "asya.controllerAccount" -}}
{{ .Values.controller.serviceAccount.name | default (include "asya.fullname" .) }}
{{- end }}

{{- define "asya.webhookAccount" -}}
{{ .Values.webhook.serviceAccount.name | default (printf "%s-webhook" (include "asya.fullname" .)) }}
{{- end }}

{{/* The namespace that always has the runtime script. */}}
{{- define "asya.runtimeNamespace" -}}
{{ .Values.runtime.namespace | default .Release.Namespace }}
{{- end }}

{{- define "asya.authoritySecret" -}}
{{ .Values.certs.authoritySecretName | default (printf "%s-ca" (include "asya.secretName" .)) }}
{{- end }}

{{/* The Secret with the serving certificate. cert-manager's Secret has another name, so that cert-manager and the operator
never write the same Secret, even after a change of certs.mode. */}}
{{- define "asya.secretName" -}}
{{- $kind := eq .Values.certs.mode "cert-manager" | ternary "cert-manager" "cert" -}}
{{ .Values.certs.secretName | default (printf "%s-webhook-%s" (include "asya.fullname" .) $kind) }}
{{- end }}

{{/* The seconds of a duration such as 90d or 1h30m. */}}
{{- define "asya.seconds" -}}
{{- $seconds := 0 -}}
{{- range regexFindAll "[0-9]+[smhd]" . -1 -}}
{{- $seconds = add $seconds (mul (regexFind "^[0-9]+" . | int64) (get (dict "s" 1 "m" 60 "h" 3600 "d" 86400) (regexFind "[smhd]$" .))) -}}
{{- end -}}
{{ $seconds }}
{{- end }}

{{- define "asya.metricsPort" -}}
{{ .process.metricsPort | default .root.Values.metrics.port | int64 }}
{{- end }}

{{/* Environment variables that both processes and the hooks share. */}}
{{- define "asya.identity" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- {name: ASYA_LOG_LEVEL, value: {{ .Values.logLevel | quote }}}
- {name: ASYA_LOG_FORMAT, value: {{ .Values.logFormat | quote }}}
- {name: ASYA_CLIENT_QPS, value: {{ .Values.client.qps | int64 | quote }}}
- {name: ASYA_CLIENT_BURST, value: {{ .Values.client.burst | int64 | quote }}}
- {name: ASYA_LEASE_NAME, value: {{ include "asya.fullname" . | quote }}}
- {name: ASYA_WATCH_NAMESPACES, value: {{ join "," .Values.watchNamespaces | quote }}}
{{- end }}

{{- define "asya.environment" -}}
{{ include "asya.identity" . }}
- {name: ASYA_SIDECAR_IMAGE, value: {{ include "asya.inRegistry" (dict "root" . "image" .Values.sidecar.image) | quote }}}
- {name: ASYA_SIDECAR_GENERATION, value: {{ .Values.sidecar.generation | quote }}}
- {name: ASYA_SIDECAR_IMAGE_PULL_POLICY, value: {{ .Values.sidecar.imagePullPolicy | quote }}}
- {name: ASYA_SIDECAR_IMAGE_PULL_SECRETS, value: {{ .Values.sidecar.imagePullSecrets | toJson | quote }}}
- {name: ASYA_SIDECAR_RESOURCES, value: {{ .Values.sidecar.defaultResources | toJson | quote }}}
- {name: ASYA_SIDECAR_SECURITY_CONTEXT, value: {{ .Values.sidecar.securityContext | toJson | quote }}}
- {name: ASYA_SIDECAR_VOLUMES, value: {{ .Values.sidecar.extraVolumes | toJson | quote }}}
- {name: ASYA_SIDECAR_VOLUME_MOUNTS, value: {{ .Values.sidecar.extraVolumeMounts | toJson | quote }}}
- {name: ASYA_SIDECAR_METRICS_PORT, value: {{ .Values.sidecar.metricsPort | int64 | quote }}}
- {name: ASYA_SIDECAR_LOG_LEVEL, value: {{ .Values.sidecar.logLevel | quote }}}
- {name: ASYA_GATEWAY_URL, value: {{ .Values.sidecar.gatewayUrl | quote }}}
- {name: ASYA_SIDECAR_RUN_AS_USER, value: {{ .Values.sidecar.runAsUser | int64 | quote }}}
- {name: ASYA_SOCKET_ACTIVATION, value: {{ .Values.sidecar.socketActivation | quote }}}
- {name: ASYA_OTEL_ENDPOINT, value: {{ .Values.sidecar.otel.endpoint | quote }}}
- {name: ASYA_OTEL_PROTOCOL, value: {{ .Values.sidecar.otel.protocol | quote }}}
- {name: ASYA_RUNTIME_PORT, value: {{ .Values.runtime.port | int64 | quote }}}
- {name: ASYA_RUNTIME_NAMESPACE, value: {{ include "asya.runtimeNamespace" . | quote }}}
- {name: ASYA_RUNTIME_ROLLOUT, value: {{ .Values.runtime.rollout | quote }}}
- {name: ASYA_CERTS_SECRET, value: {{ include "asya.secretName" . | quote }}}
{{- end }}

{{- define "asya.clientConfig" -}}
{{- if .root.Values.webhook.url }}
url: {{ printf "%s%s" (trimSuffix "/" .root.Values.webhook.url) .path | quote }}
{{- else }}
service:
  name: {{ include "asya.fullname" .root }}-webhook
  namespace: {{ .root.Release.Namespace }}
  path: {{ .path }}
  port: {{ .root.Values.service.webhookPort }}
{{- end }}
{{- end }}

{{- define "asya.configurationAnnotations" -}}
{{- if eq .Values.certs.mode "cert-manager" }}
annotations:
  cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/{{ include "asya.fullname" . }}-webhook
{{- end }}
{{- end }}

{{/* Names and addresses at which clients call the webhook, separated by commas. */}}
{{- define "asya.names" -}}
{{ include "asya.fullname" . }}-webhook.{{ .Release.Namespace }}.svc
{{- with .Values.webhook.url }},{{ (urlParse .).hostname }}{{ end }}
{{- end }}

{{/* The alerts. This replaces the words in capitals in their file. */}}
{{- define "asya.alerts" -}}
{{- $name := include "asya.fullname" . -}}
{{- $options := "" -}}
{{- if ne .Release.Namespace "asya-system" -}}
{{- $options = printf "%s --namespace %s" $options .Release.Namespace -}}
{{- end -}}
{{- if ne $name "asya-operator" -}}
{{- $options = printf "%s --name %s" $options $name -}}
{{- end -}}
{{- .Files.Get "files/alerts.yaml" | replace " OPTIONS" $options | replace "OPERATOR" $name | replace "RUNBOOK" .Values.metrics.rules.runbookUrl -}}
{{- end -}}
