{{/* Annotations of a hook's object. Helm deletes the object after the hooks succeed. Parameters: hook, weight */}}
{{- define "asya.hookAnnotations" -}}
helm.sh/hook: {{ .hook }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* A Job that Helm runs as a hook. Parameters: root, name, hook, account, args */}}
{{- define "asya.hook" -}}
{{- $process := .root.Values.controller -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "asya.fullname" .root }}-{{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "asya.labelsWith" (dict "root" .root "component" .name) | nindent 4 }}
  annotations: {{- include "asya.hookAnnotations" (dict "hook" .hook "weight" 0) | nindent 4 }}
spec:
  backoffLimit: 3
  activeDeadlineSeconds: 240
  template:
    metadata:
      labels: {{- include "asya.labelsWith" (dict "root" .root "component" .name "labels" $process.podLabels) | nindent 8 }}
      {{- with $process.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ .account }}
      restartPolicy: Never
      {{- with $process.priorityClassName | default .root.Values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- include "asya.imagePullSecrets" .root | nindent 6 }}
      {{- with $process.podSecurityContext }}
      securityContext: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
      - name: {{ .name }}
        image: {{ include "asya.image" .root }}
        imagePullPolicy: {{ .root.Values.image.pullPolicy }}
        args: {{ toJson .args }}
        env: {{- include "asya.withExtra" (dict "own" (include "asya.identity" .root) "extra" $process.extraEnv) | nindent 8 }}
        {{- with $process.extraEnvFrom }}
        envFrom: {{- toYaml . | nindent 8 }}
        {{- end }}
        resources: {{- toYaml $process.resources | nindent 10 }}
        {{- with $process.securityContext }}
        securityContext: {{- toYaml . | nindent 10 }}
        {{- end }}
        volumeMounts:
        - {name: tmp, mountPath: /tmp}
      volumes: {{- include "asya.tmpVolume" .root | nindent 6 }}
      {{- include "asya.scheduling" $process | nindent 6 }}
{{- end }}
