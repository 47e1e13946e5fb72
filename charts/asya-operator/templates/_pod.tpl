{{/* The spec of the Deployment of a process. Parameters: root: the chart; name: controller or webhook; process: its
values; account: its ServiceAccount; env, ports, readiness and lifecycle: parts of this process alone, as YAML; volumes and
mounts: lists of this process alone. */}}
{{- define "asya.deployment" -}}
{{- $component := dict "app.kubernetes.io/component" .name -}}
{{- $selector := merge (include "asya.selector" .root | fromYaml) $component -}}
{{- $labels := merge dict $component (include "asya.labels" .root | fromYaml) (.process.podLabels | default dict) -}}
{{- $process := .process -}}
replicas: {{ $process.replicas | int64 }}
revisionHistoryLimit: {{ $process.revisionHistoryLimit | int64 }}
{{- with $process.updateStrategy }}
strategy: {{- eq (.type | default "") "Recreate" | ternary (omit . "rollingUpdate") . | toYaml | nindent 2 }}
{{- end }}
selector:
  matchLabels: {{- toYaml $selector | nindent 4 }}
template:
  metadata:
    labels: {{- toYaml $labels | nindent 6 }}
    {{- with $process.podAnnotations }}
    annotations: {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    serviceAccountName: {{ .account }}
    {{- include "asya.imagePullSecrets" .root | nindent 4 }}
    {{- with $process.priorityClassName | default .root.Values.priorityClassName }}
    priorityClassName: {{ . }}
    {{- end }}
    {{- with $process.podSecurityContext }}
    securityContext: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- if $process.hostNetwork }}
    hostNetwork: true
    {{- end }}
    {{- with $process.dnsPolicy | default ($process.hostNetwork | ternary "ClusterFirstWithHostNet" "") }}
    dnsPolicy: {{ . }}
    {{- end }}
    {{- with $process.dnsConfig }}
    dnsConfig: {{- toYaml . | nindent 6 }}
    {{- end }}
    terminationGracePeriodSeconds: {{ $process.terminationGracePeriodSeconds | int64 }}
    {{- with $process.topologySpreadConstraints }}
    topologySpreadConstraints:
    {{- range . }}
    - {{- hasKey . "labelSelector" | ternary . (merge (dict "labelSelector" (dict "matchLabels" $selector)) .) | toYaml | nindent 6 }}
    {{- end }}
    {{- end }}
    containers:
    - name: {{ .name }}
      image: {{ include "asya.image" .root }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: {{ concat (list .name) $process.extraArgs | toJson }}
      {{- $port := printf "- {name: ASYA_METRICS_PORT, value: %q}" (include "asya.metricsPort" .) }}
      {{- $own := list (include "asya.environment" .root) $port .env | join "\n" }}
      env: {{- include "asya.withExtra" (dict "own" $own "extra" $process.extraEnv) | nindent 6 }}
      {{- with $process.extraEnvFrom }}
      envFrom: {{- toYaml . | nindent 6 }}
      {{- end }}
      ports:
      {{- with .ports }}
      {{- . | nindent 6 }}
      {{- end }}
      - {name: metrics, containerPort: {{ include "asya.metricsPort" . }}}
      livenessProbe: {{- merge (dict "httpGet" (dict "path" "/healthz" "port" "metrics")) $process.livenessProbe | toYaml | nindent 8 }}
      readinessProbe: {{- merge (dict "httpGet" (.readiness | fromYaml)) $process.readinessProbe | toYaml | nindent 8 }}
      {{- with .lifecycle }}
      lifecycle: {{ . }}
      {{- end }}
      resources: {{- toYaml $process.resources | nindent 8 }}
      {{- with $process.securityContext }}
      securityContext: {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
      - {name: tmp, mountPath: /tmp}
      {{- with concat (.mounts | default list) $process.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- $volumes := concat (.volumes | default list) $process.extraVolumes }}
    volumes: {{- include "asya.withExtra" (dict "own" (include "asya.tmpVolume" .) "extra" $volumes) | nindent 4 }}
    {{- include "asya.scheduling" $process | nindent 4 }}
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

{{/* The chart's variables or volumes, as YAML, and those of the user, which override them. Server-side apply refuses a
name that occurs twice. Parameters: own, extra */}}
{{- define "asya.withExtra" -}}
{{- $names := list -}}
{{- range .extra -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- $items := list -}}
{{- range .own | fromYamlArray -}}
{{- if not (has .name $names) -}}
{{- $items = append $items . -}}
{{- end -}}
{{- end -}}
{{ concat $items .extra | toYaml }}
{{- end }}

{{- define "asya.tmpVolume" -}}
- {name: tmp, emptyDir: {medium: Memory, sizeLimit: 64Mi}}
{{- end }}
