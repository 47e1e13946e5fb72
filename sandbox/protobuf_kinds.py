"""The fields that kubectl and Helm send in protobuf objects: number, name and form of each.

The commands ``kubectl create`` and ``kubectl run`` send built-in kinds as protobuf. They do not switch to another
format after an answer of 415, so the sandbox must read protobuf. Field numbers come from ``generated.proto`` in
k8s.io/api and k8s.io/apimachinery, and never change.

A form is ``str``, ``int``, ``bool``, ``bytes``, ``raw``, ``quantity``, ``intstr`` or the fields of a message. For a
list or map it follows the word ``list`` or ``map``. ``int0`` and ``bool0`` are omitted at zero, as in JSON.
"""

from typing import Any, Final

Schema = dict[int, tuple[str, Any]]

OWNER: Schema = {
    1: ("kind", "str"),
    3: ("name", "str"),
    4: ("uid", "str"),
    5: ("apiVersion", "str"),
    6: ("controller", "bool"),
    7: ("blockOwnerDeletion", "bool"),
}
META: Schema = {
    1: ("name", "str"),
    2: ("generateName", "str"),
    3: ("namespace", "str"),
    5: ("uid", "str"),
    6: ("resourceVersion", "str"),
    7: ("generation", "int0"),
    11: ("labels", "map str"),
    12: ("annotations", "map str"),
    13: ("ownerReferences", ("list", OWNER)),
    14: ("finalizers", "list str"),
}
REFERENCE: Schema = {1: ("kind", "str"), 2: ("namespace", "str"), 3: ("name", "str"), 5: ("apiVersion", "str")}
LOCAL_REFERENCE: Schema = {1: ("name", "str")}
SELECTOR: Schema = {1: ("matchLabels", "map str")}
RESOURCES: Schema = {1: ("limits", "map quantity"), 2: ("requests", "map quantity")}
ENV: Schema = {1: ("name", "str"), 2: ("value", "str")}
CONTAINER_PORT: Schema = {
    1: ("name", "str"),
    2: ("hostPort", "int0"),
    3: ("containerPort", "int"),
    4: ("protocol", "str"),
}
CONTAINER: Schema = {
    1: ("name", "str"),
    2: ("image", "str"),
    3: ("command", "list str"),
    4: ("args", "list str"),
    5: ("workingDir", "str"),
    6: ("ports", ("list", CONTAINER_PORT)),
    7: ("env", ("list", ENV)),
    8: ("resources", RESOURCES),
    13: ("terminationMessagePath", "str"),
    14: ("imagePullPolicy", "str"),
    16: ("stdin", "bool0"),
    17: ("stdinOnce", "bool0"),
    18: ("tty", "bool0"),
    20: ("terminationMessagePolicy", "str"),
}
POD_SPEC: Schema = {
    2: ("containers", ("list", CONTAINER)),
    3: ("restartPolicy", "str"),
    4: ("terminationGracePeriodSeconds", "int"),
    6: ("dnsPolicy", "str"),
    7: ("nodeSelector", "map str"),
    8: ("serviceAccountName", "str"),
    9: ("serviceAccount", "str"),
    10: ("nodeName", "str"),
    11: ("hostNetwork", "bool0"),
    12: ("hostPID", "bool0"),
    13: ("hostIPC", "bool0"),
    15: ("imagePullSecrets", ("list", LOCAL_REFERENCE)),
    16: ("hostname", "str"),
    17: ("subdomain", "str"),
    19: ("schedulerName", "str"),
    20: ("initContainers", ("list", CONTAINER)),
    24: ("priorityClassName", "str"),
}
TEMPLATE: Schema = {1: ("metadata", META), 2: ("spec", POD_SPEC)}
DEPLOYMENT_SPEC: Schema = {
    1: ("replicas", "int"),
    2: ("selector", SELECTOR),
    3: ("template", TEMPLATE),
    4: ("strategy", {1: ("type", "str")}),
    5: ("minReadySeconds", "int0"),
    6: ("revisionHistoryLimit", "int"),
    7: ("paused", "bool0"),
    9: ("progressDeadlineSeconds", "int"),
}
JOB_SPEC: Schema = {
    1: ("parallelism", "int"),
    2: ("completions", "int"),
    3: ("activeDeadlineSeconds", "int"),
    4: ("selector", SELECTOR),
    5: ("manualSelector", "bool"),
    6: ("template", TEMPLATE),
    7: ("backoffLimit", "int"),
    8: ("ttlSecondsAfterFinished", "int"),
    9: ("completionMode", "str"),
    10: ("suspend", "bool"),
    14: ("podReplacementPolicy", "str"),
}
CRON_JOB_SPEC: Schema = {
    1: ("schedule", "str"),
    2: ("startingDeadlineSeconds", "int"),
    3: ("concurrencyPolicy", "str"),
    4: ("suspend", "bool"),
    5: ("jobTemplate", {1: ("metadata", META), 2: ("spec", JOB_SPEC)}),
    6: ("successfulJobsHistoryLimit", "int"),
    7: ("failedJobsHistoryLimit", "int"),
    8: ("timeZone", "str"),
}
SERVICE_PORT: Schema = {
    1: ("name", "str"),
    2: ("protocol", "str"),
    3: ("port", "int"),
    4: ("targetPort", "intstr"),
    5: ("nodePort", "int0"),
}
SERVICE_SPEC: Schema = {
    1: ("ports", ("list", SERVICE_PORT)),
    2: ("selector", "map str"),
    3: ("clusterIP", "str"),
    4: ("type", "str"),
    7: ("sessionAffinity", "str"),
    10: ("externalName", "str"),
    12: ("healthCheckNodePort", "int0"),
    13: ("publishNotReadyAddresses", "bool0"),
}
RULE: Schema = {
    1: ("verbs", "list str"),
    2: ("apiGroups", "list str"),
    3: ("resources", "list str"),
    4: ("resourceNames", "list str"),
    5: ("nonResourceURLs", "list str"),
}
SUBJECT: Schema = {1: ("kind", "str"), 2: ("apiGroup", "str"), 3: ("name", "str"), 4: ("namespace", "str")}
ROLE: Schema = {1: ("metadata", META), 2: ("rules", ("list", RULE))}
BINDING: Schema = {
    1: ("metadata", META),
    2: ("subjects", ("list", SUBJECT)),
    3: ("roleRef", {1: ("apiGroup", "str"), 2: ("kind", "str"), 3: ("name", "str")}),
}


def _with_spec(spec: Schema) -> Schema:
    return {1: ("metadata", META), 2: ("spec", spec)}


METRIC_TARGET: Schema = {
    1: ("type", "str"),
    2: ("value", "quantity"),
    3: ("averageValue", "quantity"),
    4: ("averageUtilization", "int"),
}
METRIC: Schema = {1: ("type", "str"), 4: ("resource", {1: ("name", "str"), 2: ("target", METRIC_TARGET)})}
AUTOSCALER_SPEC: Schema = {
    1: ("scaleTargetRef", {1: ("kind", "str"), 2: ("name", "str"), 3: ("apiVersion", "str")}),
    2: ("minReplicas", "int"),
    3: ("maxReplicas", "int"),
    4: ("metrics", ("list", METRIC)),
}
KINDS: Final[dict[str, Schema]] = {
    "Namespace": _with_spec({1: ("finalizers", "list str")}),
    "Pod": _with_spec(POD_SPEC),
    "Deployment": _with_spec(DEPLOYMENT_SPEC),
    "Job": _with_spec(JOB_SPEC),
    "CronJob": _with_spec(CRON_JOB_SPEC),
    "Service": _with_spec(SERVICE_SPEC),
    "Scale": _with_spec({1: ("replicas", "int")}),
    "PodDisruptionBudget": _with_spec(
        {1: ("minAvailable", "intstr"), 2: ("selector", SELECTOR), 3: ("maxUnavailable", "intstr")}
    ),
    "HorizontalPodAutoscaler": _with_spec(AUTOSCALER_SPEC),
    "ServiceAccount": {
        1: ("metadata", META),
        2: ("secrets", ("list", REFERENCE)),
        3: ("imagePullSecrets", ("list", LOCAL_REFERENCE)),
        4: ("automountServiceAccountToken", "bool"),
    },
    "Secret": {
        1: ("metadata", META),
        2: ("data", "map bytes"),
        3: ("type", "str"),
        4: ("stringData", "map str"),
        5: ("immutable", "bool"),
    },
    "ConfigMap": {
        1: ("metadata", META),
        2: ("data", "map str"),
        3: ("binaryData", "map bytes"),
        4: ("immutable", "bool"),
    },
    "Role": ROLE,
    "ClusterRole": ROLE,
    "RoleBinding": BINDING,
    "ClusterRoleBinding": BINDING,
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int"),
        2: ("preconditions", {1: ("uid", "str"), 2: ("resourceVersion", "str")}),
        3: ("orphanDependents", "bool"),
        4: ("propagationPolicy", "str"),
        5: ("dryRun", "list str"),
    },
}
