{{/* The controller's rights in the namespaces of actors. They include no Secret, and only the two ConfigMaps that it
creates. resourceNames limits creation too, because a create by server-side apply names its object. */}}
{{- define "asya.controllerRules" -}}
- apiGroups: [asya.io]
  resources: [asyncactors]
  verbs: [get, list, watch, patch]
- apiGroups: [asya.io]
  resources: [asyncactors/status]
  verbs: [patch]
# To write an owner reference with blockOwnerDeletion, the controller needs this right.
- apiGroups: [asya.io]
  resources: [asyncactors/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [patch]
- apiGroups: [apps]
  resources: [daemonsets]
  verbs: [get, list, watch, patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [list, watch, patch]
- apiGroups: [keda.sh]
  resources: [scaledjobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [keda.sh]
  resources: [scaledobjects, triggerauthentications]
  verbs: [list, watch, create, patch, delete]
# The status reports the problems of an actor's pods.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{ include "asya.homeRules" . }}
{{- end }}

{{/* The rights that the controller also needs in its own namespace, which may have no actors. */}}
{{- define "asya.homeRules" -}}
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [asya-keda, asya-runtime]
  verbs: [get, list, watch, create, patch, delete]
# Events of KEDA and the kubelet explain why an actor is not scaled or its pods do not start.
- apiGroups: [""]
  resources: [events]
  verbs: [list, create, patch]
{{- end }}

{{- define "asya.webhookRules" -}}
- apiGroups: [asya.io]
  resources: [asyncactors]
  verbs: [get, list, watch]
{{- end }}

{{/* A Role and its binding. Parameters: root, name, namespace, account, rules */}}
{{- define "asya.role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels: {{- include "asya.labels" .root | nindent 4 }}
rules: {{- .rules | nindent 0 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels: {{- include "asya.labels" .root | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ .name }}}
subjects:
- {kind: ServiceAccount, name: {{ .account }}, namespace: {{ .root.Release.Namespace }}}
{{- end }}

{{/* A ClusterRole and its binding. Parameters: root, name, account, rules */}}
{{- define "asya.clusterRole" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ .name }}
  labels: {{- include "asya.labels" .root | nindent 4 }}
rules: {{- .rules | nindent 0 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ .name }}
  labels: {{- include "asya.labels" .root | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ .name }}}
subjects:
- {kind: ServiceAccount, name: {{ .account }}, namespace: {{ .root.Release.Namespace }}}
{{- end }}
