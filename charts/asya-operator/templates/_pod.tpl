{{/* The spec of a Deployment of either process.
root: the chart; name: controller or webhook; process: its values; account: its ServiceAccount; args, env, ports,
readiness and lifecycle: what only this process has, as YAML; volumes and mounts: lists of its own. */}}
{{- define "asya.deployment" -}}
{{- $component := dict "app.kubernetes.io/component" .name -}}
{{- $selector := merge (include "asya.selector" .root | fromYaml) $component -}}
{{- $labels := merge dict $component (include "asya.labels" .root | fromYaml) (.process.podLabels | default dict) -}}
{{- $process := .process -}}
replicas: {{ $process.replicas }}
revisionHistoryLimit: {{ $process.revisionHistoryLimit }}
{{- with $process.updateStrategy }}
strategy: {{- toYaml . | nindent 2 }}
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
    terminationGracePeriodSeconds: {{ $process.terminationGracePeriodSeconds }}
    {{- with $process.topologySpreadConstraints }}
    topologySpreadConstraints:
    {{- range . }}
    - {{- merge (deepCopy .) (dict "labelSelector" (dict "matchLabels" $selector)) | toYaml | nindent 6 }}
    {{- end }}
    {{- end }}
    containers:
    - name: {{ .name }}
      image: {{ include "asya.image" .root }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: {{ concat (list .name) $process.extraArgs | toJson }}
      env: {{- include "asya.environment" .root | nindent 6 }}
      - {name: ASYA_METRICS_PORT, value: {{ include "asya.metricsPort" . | quote }}}
      {{- .env | nindent 6 }}
      {{- with $process.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
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
    volumes:
    - {name: tmp, emptyDir: {medium: Memory, sizeLimit: 64Mi}}
    {{- with concat (.volumes | default list) $process.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
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
