"""Every name that users or several processes rely on: groups, labels, annotations, containers, volumes.

The controller, the webhook and the command exchange data under these names. One module defines them, so that the
processes agree.
"""

from typing import Final

GROUP: Final = "asya.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "AsyncActor"
PLURAL: Final = "asyncactors"

LABEL_ACTOR: Final = "asya.io/actor"
"""On a pod template, a Pod or a workload: name of the AsyncActor, in the same namespace, whose plan is injected."""

INJECT: Final = "asya.io/inject"
"""Label or annotation. The value ``disabled`` turns injection off."""
DISABLED: Final = "disabled"

ANNOTATION_INJECTED: Final = "asya.io/injected"
"""On an injected template: the record, as JSON. It lists the injected parts and their predecessors."""

ANNOTATION_RUNTIME_CONTAINER: Final = "asya.io/runtime-container"
"""On a pod template: the name of the container with the user's function."""

ANNOTATION_ACTOR_GENERATION: Final = "asya.io/actor-generation"
"""On an owned workload: the actor's generation that it comes from. Admission compares it to detect a stale cache."""

ANNOTATION_APPLIED: Final = "asya.io/applied"
"""On an owned object: a digest of the last applied content. The operator skips a write if the digest is the same."""

ANNOTATION_SCALING: Final = "asya.io/scaling"
"""On an owned workload, who sets ``spec.replicas``: KEDA (``enabled``), the operator (``disabled``) or neither of them
(``unmanaged``)."""

ANNOTATION_REPLICAS_BEFORE: Final = "asya.io/replicas-before-scaling"
"""On a borrowed workload while KEDA scales it: its replicas before that. The operator restores them."""

ANNOTATION_REPLICAS_BEFORE_PAUSE: Final = "asya.io/replicas-before-pause"
"""On a paused actor that KEDA does not scale: its replicas before the pause. The end of the pause restores them."""

ANNOTATION_SCRIPT: Final = "asya.io/script"
ANNOTATION_SCRIPT_ORIGIN: Final = "asya.io/script-origin"
"""On the ConfigMap in the operator's namespace: the string that represents its script in every digest."""

FINALIZER: Final = "asya.io/release"
"""On an actor with changes to undo on deletion that garbage collection cannot undo: labels, replica counts."""

LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_INSTANCE: Final = "app.kubernetes.io/instance"
OPERATOR: Final = "asya-operator"
"""The value of ``managed-by``, and the field manager of every server-side apply."""

SIDECAR: Final = "sidecar"
RUNTIME: Final = "runtime"
HOLDER: Final = "asya-socket"
"""The container that holds the socket. The socket's volume has the same name."""
METRICS_PORT: Final = "asya-metrics"
"""Name of the sidecar's metrics port."""
ANNOTATION_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""Written by kubectl: a copy of the whole manifest."""
ANNOTATION_DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
"""Read by kubectl: the default container of ``logs`` and ``exec``."""
SOCKET_VOLUME: Final = "asya-socket"
RUNTIME_VOLUME: Final = "asya-runtime"
RABBITMQ_VOLUME: Final = "asya-rabbitmq"
RUNTIME_CONFIGMAP: Final = "asya-runtime"
KEDA_CONFIGMAP: Final = "asya-keda"
"""The ConfigMap with KEDA's parameters for all actors of a namespace."""
RUNTIME_KEY: Final = "asya_runtime.py"
RUNTIME_PATH: Final = "/opt/asya/asya_runtime.py"

KEDA_GROUP: Final = "keda.sh"
KEDA_API_VERSION: Final = "keda.sh/v1alpha1"

MIN_REPLICAS: Final = 0
MAX_REPLICAS: Final = 50
"""Defaults of spec.scaling.minReplicas and maxReplicas. They are here for commands that do not load the models."""
